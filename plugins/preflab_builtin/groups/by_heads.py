"""What each group gets by its own head of the reward model: for real people, whom nobody can ask
about new responses."""

from __future__ import annotations

from functools import partial

from preflab.interfaces import Evaluation, Subject
from preflab.intervals import mean
from preflab.records import Rollout
from preflab_builtin.evaluation.forward import questions
from preflab_builtin.evaluation.judges import preferred
from preflab_builtin.evaluation.scored import rate
from preflab_builtin.groups.reporting import of_each, rest, said_to
from preflab_builtin.groups.scoring import GroupRewards

NOTE = (
    "What each group gets is what its own head of the reward model says, not what its people say: "
    "what is trained on a head, or chosen by it, pleases it more than them."
)


class ByHeads:
    """group_head_reward/NAME: mean over prompts of what a group's own head gives to the response.
    With a baseline also group_head_gain/NAME, the same less that of the baseline's response, and
    group_head_win_rate/NAME, the share of prompts on which the head gives the response more, ties
    counted half; group_head_win_rate/others: the mean of all groups but the worst one. The worst
    group comes first. A head's reward has a unit and a zero of its own."""

    def __init__(self, rewards: GroupRewards, seed: int) -> None:
        self.rewards, self.seed = rewards, seed

    def evaluate(self, subject: Subject) -> Evaluation:
        """Ask every head about every response."""
        said = said_to(self.rewards.model.names, subject, self.seed)
        different = {id(rollout): rollout for rollout in said.values()}  # the rest is one for all
        known = {key: self._columns(rollout) for key, rollout in different.items()}
        own = {group: known[id(rollout)][group] for group, rollout in said.items()}
        average = partial(mean, units=questions(subject.rollout))
        measures, values = of_each("group_head_reward", own, average)
        if subject.baseline is None:
            return Evaluation(measures, values, notes=(NOTE,))
        other = self._columns(subject.baseline)
        gain = {
            group: [a - b for a, b in zip(column, other[group], strict=True)]
            for group, column in own.items()
        }
        wins = {
            group: preferred(column, other[group], said[group].texts, subject.baseline.texts)
            for group, column in own.items()
        }
        of_wins = partial(
            rate,
            units=questions(subject.rollout),
            texts=list(zip(*(rollout.texts for rollout in said.values()), strict=True)),
            others=[(text,) * len(said) for text in subject.baseline.texts],
        )
        for more, by_prompt in (
            of_each("group_head_gain", gain, average),
            of_each("group_head_win_rate", wins, of_wins),
        ):
            measures, values = measures | more, values | by_prompt
        measures["group_head_win_rate/others"] = of_wins(rest(wins))
        return Evaluation(measures, values, notes=(NOTE,))

    def _columns(self, rollout: Rollout) -> dict[str, list[float]]:
        return {name: column.tolist() for name, column in self.rewards.named(rollout).items()}
