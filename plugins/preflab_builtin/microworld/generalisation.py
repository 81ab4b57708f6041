"""Does a reward model predict people who labelled none of its data? (InstructGPT 4.1, E.2: five
groups, each left out in turn)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Measure, Subject
from preflab.records import Ranking, Rollout
from preflab_builtin.evaluation.forward import scores
from preflab_builtin.microworld.config import LabelerGroupsConfig
from preflab_builtin.microworld.labelers import HELD_OUT_PEOPLE, SimulatedLabelers


def preflight(config: LabelerGroupsConfig, context: Context) -> Iterator[str]:
    """`UserError` if there are no simulated people to ask, or none whose opinions are held out."""
    _people(context)
    yield from ()


def _people(context: Context) -> SimulatedLabelers:
    labeler = context.labeler()
    if not isinstance(labeler, SimulatedLabelers):
        raise UserError(
            "evaluators: labeler_groups asks simulated people, whose opinions are known. "
            "Choose labeler=simulated."
        )
    if not labeler.held_out:
        raise UserError(
            "evaluators: labeler_groups compares training people with held-out ones, and every "
            "group labels training data (labeler.held_out_group=null): name a group."
        )
    return labeler


class LabelerGroups:
    """labeler_groups/training and labeler_groups/held_out: expected accuracy of the reward model on
    a single verdict of a random person, ties left out; .../training_ceiling and
    .../held_out_ceiling: the accuracy of siding with each group's majority; .../gap: how much more
    of its own ceiling the reward model reaches on training people than on the held-out ones. Over
    all pairs of the ranked validation responses."""

    def __init__(self, config: LabelerGroupsConfig, context: Context) -> None:
        self.labeler, self.context = _people(context), context
        self.rankings: Sequence[Ranking] = list(
            {r.prompt.id: r for r in context.rankings("validation")}.values()
        )

    def evaluate(self, subject: Subject) -> Evaluation:
        """Score all responses, then ask both groups about every pair."""
        prompts = [r.prompt for r in self.rankings for _ in r.responses]
        texts = [text for r in self.rankings for text in r.responses]
        rollout = Rollout.from_texts(
            self.context.tokenizer, prompts, texts, device=self.context.runtime.device
        )
        reward = scores(self.context.reward_model(), rollout)
        measures: dict[str, Measure] = {}
        shares: dict[str, tuple[list[float], list[float], list[float]]] = {}
        for name, group in (("training", None), ("held_out", HELD_OUT_PEOPLE)):
            right, best, voted = ([0.0] * len(self.rankings) for _ in range(3))
            at = 0
            for unit, ranking in enumerate(self.rankings):
                for i, j in combinations(range(len(ranking.responses)), 2):
                    wins, loses = self.labeler.votes(
                        (ranking.prompt, ranking.responses[i], ranking.responses[j]), group
                    )
                    a, b = reward[at + i], reward[at + j]
                    right[unit] += (wins if a > b else loses) if a != b else (wins + loses) / 2
                    best[unit] += max(wins, loses)
                    voted[unit] += wins + loses
                at += len(ranking.responses)
            measures[f"labeler_groups/{name}"] = intervals.bounded_ratio(right, voted)
            measures[f"labeler_groups/{name}_ceiling"] = intervals.bounded_ratio(best, voted)
            shares[name] = (right, best, voted)
        (seen, top, _), (unseen, other_top, _) = shares["training"], shares["held_out"]
        gap = (
            sum(seen) / sum(top) - sum(unseen) / sum(other_top)
            if sum(top) and sum(other_top)
            else float("nan")
        )
        return Evaluation({**measures, "labeler_groups/gap": Measure(gap, least=-1.0, most=1.0)})
