"""Runs compared by people who did not know which response was whose: win rates, overall ratings and
flags by run, with intervals about other prompts and other people.

A run is an arm of a task. Where two runs gave the same text people saw it once, and the runs are
tied. Beside every win rate stands the length gap: people prefer longer responses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from preflab.interfaces import Measure
from preflab.intervals import FEW
from preflab.two_way import (
    Cells,
    by_labeler,
    cells,
    mean_about_people,
    mean_about_prompts,
)
from preflab_people.judgments import Task
from preflab_people.statistics.votes import Answered, cluster_of, flag_names

WIN_RATE = (
    "Mean over prompts of the share of people who prefer the run's response to the other's, ties "
    "half. Interval: about other prompts and other people (two-way random effects)."
)
LENGTH_GAP = "Mean over prompts of the run's length less the other's, in characters."
LONGER = "Of verdicts for a side on responses of unequal length, the share for the longer one."
LIKERT_MEAN = "Mean over prompts of people's overall rating, 1 the worst, 7 the best."
FLAG_SHARE = "Mean over prompts of the share of people who set the flag '{flag}'."


@dataclass(frozen=True)
class WinRate:
    """One run against another. about_people is the result; about_prompts takes these people as
    they are; over_labelers is Student's t over people, given where they are fewer than
    `preflab.intervals.FEW`."""

    arm: str
    versus: str
    about_people: Measure
    about_prompts: Measure
    over_labelers: Measure | None
    labelers: int
    length_gap: Measure
    longer_preferred: Measure
    definition: str = WIN_RATE


@dataclass(frozen=True)
class Verdict:
    """What a person said of two runs on a prompt: 1 for the first, 0 for the second, 0.5 tied."""

    one: Answered
    value: float
    gap: int


def arms(tasks: Sequence[Task]) -> list[str]:
    """The names of all runs, in the order in which tasks name them."""
    return list(dict.fromkeys(name for t in tasks for names in t.arms for name in names))


def response_of(task: Task, arm: str) -> int | None:
    """The index of a run's response; None if the task has none of it."""
    return next((i for i, names in enumerate(task.arms) if arm in names), None)


def verdicts(answered: Sequence[Answered], arm: str, versus: str) -> Iterator[Verdict]:
    """What people said of two runs. A pair that a person did not judge has no verdict; equal texts
    are a tie of everybody who judged the task."""
    for one in answered:
        i, j = response_of(one.task, arm), response_of(one.task, versus)
        if i is None or j is None or not one.answer.ranks:
            continue
        first, second = one.task.responses[i], one.task.responses[j]
        value = 0.5 if first == second else one.answer.verdict(i, j)
        if value is not None:
            yield Verdict(one, value, len(first) - len(second))


def win_table(found: Sequence[Verdict]) -> Cells:
    """Verdicts by prompt and labeler, every prompt with the same weight."""
    return _cells([(v.one, v.value) for v in found])


def win_rate(answered: Sequence[Answered], arm: str, versus: str) -> WinRate:
    """The win rate of a run against another."""
    found = list(verdicts(answered, arm, versus))
    table = win_table(found)
    labelers = len({v.one.labeler for v in found})
    gaps = {v.one.task.prompt.id: (v.one, float(v.gap)) for v in found}
    sided = [v for v in found if v.value != 0.5 and v.gap]
    longer = [(v.one, float((v.value == 1) == (v.gap > 0))) for v in sided]
    return WinRate(
        arm=arm,
        versus=versus,
        about_people=mean_about_people(table, 0.0, 1.0),
        about_prompts=mean_about_prompts(table, 0.0, 1.0),
        over_labelers=by_labeler(table, 0.0, 1.0) if 0 < labelers < FEW else None,
        labelers=labelers,
        length_gap=mean_about_prompts(_cells(list(gaps.values())), float("-inf"), float("inf")),
        longer_preferred=mean_about_people(_cells(longer, weigh_values=True), 0.0, 1.0),
    )


def win_rates(answered: Sequence[Answered], baseline: str | None = None) -> list[WinRate]:
    """Of every run against the baseline; None: of every pair, the run that comes first in the tasks
    being the other."""
    names = arms([one.task for one in answered])
    if baseline is not None:
        return [win_rate(answered, name, baseline) for name in names if name != baseline]
    pairs = [(a, b) for i, b in enumerate(names) for a in names[i + 1 :]]
    return [win_rate(answered, a, b) for a, b in pairs]


def by_group(
    answered: Sequence[Answered], groups: Mapping[str, Collection[str]], arm: str, versus: str
) -> dict[str, WinRate]:
    """The same win rate as people of each group see it."""
    return {
        name: win_rate([one for one in answered if one.labeler in members], arm, versus)
        for name, members in groups.items()
    }


def win_by_prompt(answered: Sequence[Answered], arm: str, versus: str) -> dict[str, float]:
    """The share of people who prefer the run's response, by prompt id: its mean is the win rate."""
    values: dict[str, list[float]] = {}
    for verdict in verdicts(answered, arm, versus):
        values.setdefault(verdict.one.task.prompt.id, []).append(verdict.value)
    return {prompt: sum(some) / len(some) for prompt, some in values.items()}


def likert(answered: Sequence[Answered], arm: str) -> Measure:
    """`LIKERT_MEAN` of a run."""
    return mean_about_people(_cells(list(ratings(answered, arm))), 1.0, 7.0)


def flag_shares(
    answered: Sequence[Answered], arm: str, asked: Sequence[str] = ()
) -> dict[str, Measure]:
    """`FLAG_SHARE` of a run, for every flag that people were asked for, and every one that somebody
    set on any run."""
    found: dict[str, Measure] = {}
    for flag in dict.fromkeys([*asked, *flag_names(answered)]):
        rows = list(flagged(answered, arm, flag))
        if rows:
            found[flag] = mean_about_people(_cells(rows), 0.0, 1.0)
    return found


def ratings(answered: Sequence[Answered], arm: str) -> Iterator[tuple[Answered, float]]:
    """Each rating of a run's responses, from 1 to 7."""
    for one in answered:
        i = response_of(one.task, arm)
        if i is not None and one.answer.likert and one.answer.likert[i] is not None:
            yield one, float(one.answer.likert[i])  # type: ignore[arg-type]


def flagged(answered: Sequence[Answered], arm: str, flag: str) -> Iterator[tuple[Answered, float]]:
    """For each answer about a run's responses: 1 if the flag was set, else 0."""
    for one in answered:
        i = response_of(one.task, arm)
        if i is not None and one.answer.flags:
            yield one, float(flag in one.answer.flags[i])


def _cells(rows: Sequence[tuple[Answered, float]], weigh_values: bool = False) -> Cells:
    """Values by prompt and labeler, clustered as the prompts are."""
    return cells(
        [value for _, value in rows],
        [one.task.prompt.id for one, _ in rows],
        [one.labeler for one, _ in rows],
        [cluster_of(one.task) for one, _ in rows],
        weigh_values,
    )
