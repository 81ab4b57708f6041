"""What each group of simulated people gets, and how far groups agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations

from preflab import intervals
from preflab.interfaces import AnswersGroups, Evaluation, Measure, Subject
from preflab.intervals import mean
from preflab.records import Prompt, Rollout
from preflab_builtin.evaluation.forward import questions
from preflab_builtin.evaluation.scored import rate
from preflab_builtin.groups.divided import Case, division
from preflab_builtin.microworld.labelers import SimulatedLabelers


class Groups:
    """group_utility/NAME: mean over prompts and the group's people of what a response is worth to
    them, without noise. With a baseline also group_gain/NAME, the same less that of the baseline's
    response: what the group gains, or pays; group_win_rate/NAME, the share of the group that
    prefers the response to the baseline's, ties counted half. The worst group comes first; of what
    answers groups (`AnswersGroups`) each group judges what is said to it.

    group_utility/everybody and so on: mean over the people who label training data.
    group_win_rate/others: the mean of all groups but the worst one, which is what these get.
    group_agreement/within and /between: P(two people of one group, or of two, prefer the same of
    the two responses | neither calls it a tie); group_agreement/divided, also by tag: share of
    prompts with different responses on which the majorities of two groups differ; examples are
    such prompts."""

    def __init__(self, labeler: SimulatedLabelers, seed: int) -> None:
        self.labeler, self.seed = labeler, seed

    def evaluate(self, subject: Subject) -> Evaluation:
        """Ask every group about every response."""
        prompts, units = subject.rollout.prompts, questions(subject.rollout)
        rollouts = said_to(self.labeler.groups, subject, self.seed)
        said = {group: rollout.texts for group, rollout in rollouts.items()}
        utility = {group: self._utility(group, prompts, said[group]) for group in said}
        measures, values = self._measured("group_utility", utility, partial(mean, units=units))
        if subject.baseline is None:
            return Evaluation(measures, values)
        other = subject.baseline.texts
        gain = {
            group: [a - b for a, b in zip(own, self._utility(group, prompts, other), strict=True)]
            for group, own in utility.items()
        }
        wins = {
            group: [
                self.labeler.preference(*pair, group)
                for pair in zip(prompts, said[group], other, strict=True)
            ]
            for group in said
        }
        answers, others = zip(*said.values(), strict=True), ((text,) * len(said) for text in other)
        of_wins = partial(rate, units=units, texts=list(answers), others=list(others))
        for more, by_prompt in (
            self._measured("group_gain", gain, partial(mean, units=units)),
            self._measured("group_win_rate", wins, of_wins),
        ):
            measures, values = measures | more, values | by_prompt
        measures["group_win_rate/others"] = of_wins(rest(wins))
        cases = [
            Case(*pair, {group: self.labeler.votes(pair, group) for group in self.labeler.groups})
            for pair in zip(prompts, subject.rollout.texts, other, strict=True)
        ]
        differ = division("group_agreement/divided", [c for c in cases if c.first != c.second])
        measures |= self._agreement(cases) | dict(differ.measures)
        return Evaluation(measures, values, examples=differ.examples)

    def _utility(self, group: str, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[float]:
        return [
            self.labeler.mean_utility(group, prompt, text)
            for prompt, text in zip(prompts, texts, strict=True)
        ]

    def _measured(
        self,
        name: str,
        columns: Mapping[str, Sequence[float]],
        measured: Callable[[Sequence[float]], Measure],
    ) -> tuple[dict[str, Measure], dict[str, Sequence[float]]]:
        """`of_each`, and behind it that of everybody."""
        people = Counter(person.group for person in self.labeler.people)
        everybody = [
            sum(n * columns[group][i] for group, n in people.items()) / people.total()
            for i in range(len(next(iter(columns.values()))))
        ]
        found, values = of_each(name, columns, measured)
        key = f"{name}/everybody"
        return found | {key: measured(everybody)}, values | {key: everybody}

    def _agreement(self, cases: Sequence[Case]) -> dict[str, Measure]:
        """A unit is a prompt."""
        within: tuple[list[float], list[float]] = ([], [])
        between: tuple[list[float], list[float]] = ([], [])
        for case in cases:
            pair = (case.prompt, case.first, case.second)
            own = [self.labeler.alike(pair, group) for group in self.labeler.groups]
            other = [alike_between(a, b) for a, b in combinations(case.votes.values(), 2)]
            for found, (same, both) in ((own, within), (other, between)):
                same.append(sum(alike for alike, _ in found))
                both.append(sum(sided for _, sided in found))
        return {
            "group_agreement/within": intervals.bounded_ratio(*within),
            "group_agreement/between": intervals.bounded_ratio(*between),
        }


def said_to(groups: Sequence[str], subject: Subject, seed: int) -> dict[str, Rollout]:
    """The responses that each group is to judge, with the noise of the evaluation's: what is said
    to it, if the subject answers groups, else what is said to all."""
    said = {group: subject.rollout for group in groups}
    if isinstance(subject.responder, AnswersGroups):
        noise = (seed, "evaluation", "responses")
        for group in said.keys() & set(subject.responder.groups):
            each = [group] * len(subject.rollout.prompts)
            said[group] = subject.responder.respond_for(each, subject.rollout.prompts, noise)
    return said


def of_each(
    name: str,
    columns: Mapping[str, Sequence[float]],
    measured: Callable[[Sequence[float]], Measure],
) -> tuple[dict[str, Measure], dict[str, Sequence[float]]]:
    """A measure of each group, worst first, and the values by prompt. columns: by group, a number
    for each prompt; measured: their mean with its interval."""
    values = {f"{name}/{group}": column for group, column in columns.items()}
    return worst_first({key: measured(column) for key, column in values.items()}), values


def rest(columns: Mapping[str, Sequence[float]]) -> list[float]:
    """For each prompt the mean of all groups but the one with the lowest mean over prompts."""
    worst = min(columns, key=lambda group: sum(columns[group]))
    others = (column for group, column in columns.items() if group != worst)
    return [sum(row) / len(row) for row in zip(*others, strict=True)]


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
