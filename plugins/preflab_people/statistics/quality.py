"""A person's record, for the researcher to look at. Nothing here removes anybody: people differ,
stably and for good reasons, and whoever disagrees may be right."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, groupby

from preflab import intervals
from preflab.interfaces import Measure
from preflab.two_way import cells, mean_about_prompts
from preflab_people.judgments import Answer, Task
from preflab_people.statistics.position import EARLIER, earlier_preferred
from preflab_people.statistics.votes import (
    SIDES,
    Answered,
    Round,
    Vote,
    Votes,
    cluster_of,
    distinct,
    pair_votes,
    table,
)

DEFINITIONS: Mapping[str, str] = {
    "agreement": "Of pairs with another person in which both take a side, the share of the same "
    "side.",
    "retest": "Of pairs of responses that the person judged twice, the share judged alike; a tie "
    "against a side is half.",
    "gold": "Of pairs on which the researcher takes a side, the share of the same side; a tie is "
    "half, and a pair that was not judged nothing.",
    "ties": "Share of pairs of responses that the person called equal.",
    "earlier": EARLIER,
    "median_seconds": "Median time in which the page was in use.",
    "same_pattern": "Share of the commonest pattern of ranks by place on the page.",
    "longest_run": "Longest run of tasks with one pattern of ranks by place on the page.",
}
PATTERN = 0.5
"""A person with a pattern in more than this share of at least `ENOUGH` tasks is pointed out."""
ENOUGH = 10
QUICK = 1 / 3
"""And one who takes less than this share of the median person's time."""


@dataclass(frozen=True)
class PersonRecord:
    """What a person did. Intervals are about other prompts. judged: normal tasks answered. skips:
    by reason, of all tasks. Definitions: `DEFINITIONS`."""

    labeler: str
    group: str
    held_out: bool
    judged: int
    skips: Mapping[str, int]
    agreement: Measure
    retest: Measure
    gold: Measure
    ties: Measure
    earlier: Measure
    median_seconds: float
    same_pattern: float
    longest_run: int
    remarks: Sequence[str] = field(default=())


def records(asked: Round) -> list[PersonRecord]:
    """The record of everybody who counts, in the order of people."""
    everybody = asked.answered()
    votes = table(list(pair_votes(everybody)), SIDES)
    found = [_record(name, asked, everybody, votes) for name in asked.person if asked.counts(name)]
    times = [r.median_seconds for r in found if r.judged >= ENOUGH and r.median_seconds > 0]
    usual = statistics.median(times) if times else 0.0
    return [_with_remarks(record, usual) for record in found]


def _record(
    labeler: str, asked: Round, everybody: Sequence[Answered], votes: Votes
) -> PersonRecord:
    own = [one for one in everybody if one.labeler == labeler]
    mine = [j for j in asked.judgments if j.labeler == labeler]
    seconds = [one.judgment.seconds for one in own if one.judgment.seconds > 0]
    patterns = [pattern for one in own if (pattern := _pattern(one)) is not None]
    return PersonRecord(
        labeler=labeler,
        group=asked.person[labeler].group,
        held_out=asked.person[labeler].held_out,
        judged=len(own),
        skips=dict(Counter(j.answer.skipped for j in mine if j.answer.skipped)),
        agreement=_with_others(labeler, votes),
        retest=_measure(list(_again(labeler, asked))),
        gold=_measure(list(_gold(labeler, asked))),
        ties=_measure([(v, float(v.value == 1)) for v in pair_votes(own)]),
        earlier=earlier_preferred(own),
        median_seconds=statistics.median(seconds) if seconds else float("nan"),
        same_pattern=_commonest(patterns),
        longest_run=max((len(list(run)) for _, run in groupby(patterns)), default=0),
    )


def _with_others(labeler: str, votes: Votes) -> Measure:
    """Agreement of one person with each of the others."""
    if labeler not in votes.people:
        return Measure(float("nan"), least=0.0, most=1.0)
    own = votes.person == votes.people.index(labeler)
    sided = own & (votes.value != 1)
    unit, value = votes.unit[sided], votes.value[sided]
    counts = votes.counts[unit]
    same = counts[range(len(unit)), value] - 1
    both = counts[:, 0] + counts[:, 2] - 1
    tops: dict[int, float] = {}
    bottoms: dict[int, float] = {}
    for cluster, a, b in zip(votes.cluster[unit].tolist(), same, both, strict=True):
        tops[cluster] = tops.get(cluster, 0.0) + float(a)
        bottoms[cluster] = bottoms.get(cluster, 0.0) + float(b)
    return _bounded(list(tops.values()), list(bottoms.values()))


def _bounded(tops: Sequence[float], bottoms: Sequence[float]) -> Measure:
    measure = intervals.ratio(tops, bottoms)
    if intervals.without_spread(measure):
        return intervals.bounded_ratio(tops, bottoms)
    return intervals.within(measure, 0.0, 1.0)


def _measure(rows: Sequence[tuple[Vote, float]]) -> Measure:
    """Mean of values by vote, every value with the same weight."""
    found = cells(
        [value for _, value in rows],
        [vote.unit[0] for vote, _ in rows],
        [vote.labeler for vote, _ in rows],
        [vote.cluster for vote, _ in rows],
        weigh_values=True,
    )
    return mean_about_prompts(found, 0.0, 1.0)


def _again(labeler: str, asked: Round) -> Iterator[tuple[Vote, float]]:
    """For each pair that the person judged in a task and in its retest: are they alike?"""
    first = {one.task.id: one for one in asked.answered() if one.labeler == labeler}
    for second in asked.answered("retest"):
        before = first.get(second.task.repeats)
        if second.labeler == labeler and before is not None:
            for vote in pair_votes([second]):
                _, i, j = vote.unit
                verdict = before.answer.verdict(int(i), int(j))
                if verdict is not None:
                    yield vote, 1 - abs(vote.value / 2 - verdict)


def _gold(labeler: str, asked: Round) -> Iterator[tuple[Vote, float]]:
    for one in asked.answered("gold"):
        if one.labeler == labeler and one.task.expected is not None:
            for point in _points(one.task, one.task.expected, one.answer):
                yield Vote((one.task.id,), cluster_of(one.task), labeler, 0), point


def _points(task: Task, expected: Answer, answer: Answer) -> Iterator[float]:
    """For each pair of distinct responses on which the researcher takes a side: 1, 0.5 or 0; 0 too
    for a pair that the person did not judge, as in screening."""
    for i, j in combinations(distinct(task.responses), 2):
        right, given = expected.verdict(i, j), answer.verdict(i, j)
        if right is not None and right != 0.5:
            yield 0.0 if given is None else 1 - abs(given - right)


def _pattern(one: Answered) -> tuple[int | None, ...] | None:
    """Ranks by place on the page; None where they are not known."""
    if not one.answer.ranks or not one.judgment.order:
        return None
    return tuple(one.answer.ranks[i] for i in one.judgment.order)


def _commonest(patterns: Sequence[tuple[int | None, ...]]) -> float:
    if not patterns:
        return float("nan")
    return Counter(patterns).most_common(1)[0][1] / len(patterns)


def _with_remarks(record: PersonRecord, usual_seconds: float) -> PersonRecord:
    """The record with what a researcher should look at, as sentences."""
    said: list[str] = []
    if record.earlier.low > 0.5 or record.earlier.high < 0.5:
        which = "earlier" if record.earlier.value > 0.5 else "later"
        said.append(f"prefers what is shown {which}")
    if record.judged >= ENOUGH and record.same_pattern > PATTERN:
        said.append(f"one pattern of ranks in {record.same_pattern:.0%} of tasks")
    if record.judged >= ENOUGH and record.median_seconds < QUICK * usual_seconds:
        said.append(f"{record.median_seconds:.0f} s a task, where {usual_seconds:.0f} s are usual")
    return replace(record, remarks=tuple(said))
