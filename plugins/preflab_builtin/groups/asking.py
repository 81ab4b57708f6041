"""Who is asked what a group gets: simulated people, whose opinions are known, or the heads of a
reward model, which are all that real groups leave behind."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Evaluator, Subject
from preflab_builtin.groups.by_heads import ByHeads
from preflab_builtin.groups.evaluators import Asked, GroupsConfig
from preflab_builtin.groups.reporting import Groups
from preflab_builtin.groups.scoring import JoinedReward, WeightedReward
from preflab_builtin.microworld.labelers import SimulatedLabelers

NO_PEOPLE = (
    "evaluators: groups asks simulated people, whose opinions are known. Choose "
    "labeler=simulated; the heads of a reward model are asked with asks=heads, and for rankings of "
    "people there is the evaluator group_agreement."
)
NO_HEADS = (
    "evaluators: groups with asks=heads asks the heads of groups: choose reward_model=kwise_groups "
    "or pretrained_groups."
)


def preflight(config: GroupsConfig, context: Context) -> Iterator[str]:
    """`UserError` if there are no simulated people to ask; a sentence, if they were to be asked
    only where somebody wants to know. Whether there are heads is known when they are trained."""
    if config.asks is Asked.people and not isinstance(context.labeler(), SimulatedLabelers):
        if config.always:
            raise UserError(NO_PEOPLE)
        yield NO_PEOPLE


def groups(config: GroupsConfig, context: Context) -> Evaluator:
    """The evaluator. If nobody can be asked: `UserError`, or one that says so, if somebody was to
    be asked only where that is wanted."""
    if config.asks is Asked.heads:
        reward = context.reward_model()
        if isinstance(reward, (WeightedReward, JoinedReward)):
            return ByHeads(reward.groups, context.seed)
        why = NO_HEADS
    else:
        labeler = context.labeler()
        if isinstance(labeler, SimulatedLabelers):
            return Groups(labeler, context.seed)
        why = NO_PEOPLE
    if config.always:
        raise UserError(why)
    return Nobody(why)


class Nobody:
    """`preflab.interfaces.Evaluator` where nobody can be asked. why: a sentence."""

    def __init__(self, why: str) -> None:
        self.why = why

    def evaluate(self, subject: Subject) -> Evaluation:
        """Nothing but the sentence."""
        return Evaluation({}, notes=(self.why,))
