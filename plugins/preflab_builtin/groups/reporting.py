"""What each group of simulated people gets, and how far groups agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Measure, Subject
from preflab_builtin.evaluation.forward import questions
from preflab_builtin.groups.config import GroupsConfig
from preflab_builtin.microworld.labelers import Pair, SimulatedLabelers


def preflight(config: GroupsConfig, context: Context) -> Iterator[str]:
    """`UserError` if there are no simulated people to ask."""
    _people(context)
    yield from ()


def _people(context: Context) -> SimulatedLabelers:
    labeler = context.labeler()
    if not isinstance(labeler, SimulatedLabelers):
        raise UserError(
            "evaluators: groups asks simulated people, whose opinions are known. Choose "
            "labeler=simulated; for rankings of people there is the evaluator group_agreement."
        )
    return labeler


class Groups:
    """group_utility/NAME: mean over prompts and the group's people of what a response is worth to
    them, without noise. With a baseline also group_win_rate/NAME, the share of the group that
    prefers the response to the baseline's, ties counted half, worst group first;
    group_win_rate/others: the mean of all groups but the worst one, which is what these get;
    group_agreement/within and /between: P(two people of one group, or of two, prefer the same of
    the two responses | neither calls it a tie); group_agreement/divided: share of prompts with
    different responses on which the majorities of two groups differ."""

    def __init__(self, config: GroupsConfig, context: Context) -> None:
        self.labeler = _people(context)

    def evaluate(self, subject: Subject) -> Evaluation:
        """Ask every group about every response."""
        rollout, units = subject.rollout, questions(subject.rollout)
        utility = {
            f"group_utility/{group}": [
                self.labeler.mean_utility(group, prompt, text)
                for prompt, text in zip(rollout.prompts, rollout.texts, strict=True)
            ]
            for group in self.labeler.groups
        }
        measures = {name: intervals.mean(column, units) for name, column in utility.items()}
        if subject.baseline is None:
            return Evaluation(worst_first(measures), utility)
        pairs = list(zip(rollout.prompts, rollout.texts, subject.baseline.texts, strict=True))
        wins = {
            f"group_win_rate/{group}": [self.labeler.preference(*pair, group) for pair in pairs]
            for group in self.labeler.groups
        }
        rates = worst_first(
            {name: intervals.bounded_mean(column, units=units) for name, column in wins.items()}
        )
        others = [column for name, column in wins.items() if name != next(iter(rates))]
        rates["group_win_rate/others"] = intervals.bounded_mean(
            [sum(row) / len(row) for row in zip(*others, strict=True)], units=units
        )
        measures = worst_first(measures) | rates | self._agreement(pairs)
        return Evaluation(measures, utility | wins)

    def _agreement(self, pairs: Sequence[Pair]) -> dict[str, Measure]:
        """A unit is a prompt."""
        groups = self.labeler.groups
        within: tuple[list[float], list[float]] = ([], [])
        between: tuple[list[float], list[float]] = ([], [])
        differ: list[float] = []
        for pair in pairs:
            own = [self.labeler.alike(pair, group) for group in groups]
            votes = [self.labeler.votes(pair, group) for group in groups]
            other = [alike_between(a, b) for a, b in combinations(votes, 2)]
            for found, (same, both) in ((own, within), (other, between)):
                same.append(sum(alike for alike, _ in found))
                both.append(sum(sided for _, sided in found))
            if pair[1] != pair[2]:
                differ.append(float(divided(votes)))
        return {
            "group_agreement/within": intervals.bounded_ratio(*within),
            "group_agreement/between": intervals.bounded_ratio(*between),
            "group_agreement/divided": intervals.bounded_mean(differ),
        }


def worst_first(measures: dict[str, Measure]) -> dict[str, Measure]:
    """The measures in ascending order of their values."""
    return dict(sorted(measures.items(), key=lambda item: item[1].value))


def alike_between(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """Of a person of each of two groups: P(both prefer the same response), P(both prefer one).
    first, second: shares of a group that prefer the one and the other.

    >>> alike_between((0.5, 0.25), (0.25, 0.25))
    (0.1875, 0.375)
    """
    same = first[0] * second[0] + first[1] * second[1]
    return same, sum(first) * sum(second)


def divided(votes: Sequence[tuple[float, float]]) -> bool:
    """Whether the majority of one group prefers the first response, and that of another the
    second.

    >>> divided([(0.6, 0.4), (0.5, 0.5)]), divided([(0.6, 0.4), (0.4, 0.6)])
    (False, True)
    """
    return any(a > b for a, b in votes) and any(a < b for a, b in votes)
