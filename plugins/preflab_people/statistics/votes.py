"""Judgments as votes: one vote is what one person said of one unit, such as a pair of responses.

What counts is decided here and nowhere else. Normal tasks count: gold and screening tasks were
chosen to be clear, and a retest is the same person again. Skipped tasks hold no vote. Equal texts
are one response, because people see them once. People who were removed or forgotten do not count;
held-out people are asked for apart from the others (InstructGPT, section 3.4, reports both).

Shapes: N votes, U units, P clusters (prompts, or their groups), L people, V categories.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from preflab_people.judgments import GONE, Answer, Judgment, Person, Task

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SIDES = ("second", "tie", "first")
"""Categories of a vote on a pair of responses, in the order of `Answer.verdict`: 0, 0.5, 1."""
LIKERT = tuple(str(i) for i in range(1, 8))
"""Categories of a rating, 1 the worst."""
FLAG = ("not set", "set")


@dataclass(frozen=True)
class Vote:
    """What a person said of a unit. unit: unique, such as (task, first, second). cluster: what is
    sampled, the prompt or its group. value: index of the category."""

    unit: tuple[str | int, ...]
    cluster: str
    labeler: str
    value: int


@dataclass(frozen=True)
class Votes:
    """Votes as arrays. unit [N], person [N], value [N] hold indices; cluster [U] the cluster of
    each unit; category names [V]; people [L] and clusters [P] the names."""

    categories: tuple[str, ...]
    people: tuple[str, ...]
    clusters: tuple[str, ...]
    cluster: Ints
    unit: Ints
    person: Ints
    value: Ints

    @property
    def counts(self) -> Floats:
        """Votes by unit and category [U, V]."""
        table = np.zeros((len(self.cluster), len(self.categories)))
        np.add.at(table, (self.unit, self.value), 1.0)
        return table

    def of(self, people: Sequence[str]) -> Votes:
        """Those of some people."""
        wanted = set(people)
        keep = np.array([name in wanted for name in self.people], dtype=bool)
        return self._rows(keep[self.person] if len(keep) else np.zeros(0, dtype=bool))

    def shared(self) -> Votes:
        """Those on units that at least two people judged: only they can agree."""
        return self._rows(np.bincount(self.unit, minlength=len(self.cluster))[self.unit] > 1)

    def _rows(self, keep: NDArray[np.bool_]) -> Votes:
        found = [
            Vote((int(u),), self.clusters[self.cluster[u]], self.people[p], int(v))
            for u, p, v in zip(self.unit[keep], self.person[keep], self.value[keep], strict=True)
        ]
        return table(found, self.categories)


def table(votes: Sequence[Vote], categories: Sequence[str]) -> Votes:
    """Votes as arrays, people and clusters in sorted order."""
    people = sorted({vote.labeler for vote in votes})
    clusters = sorted({vote.cluster for vote in votes})
    units = {vote.unit: vote.cluster for vote in votes}
    person, place = {p: i for i, p in enumerate(people)}, {c: i for i, c in enumerate(clusters)}
    row = {unit: i for i, unit in enumerate(units)}

    def ints(values: Iterator[int]) -> Ints:
        return np.fromiter(values, dtype=np.int64)

    return Votes(
        categories=tuple(categories),
        people=tuple(people),
        clusters=tuple(clusters),
        cluster=ints(place[c] for c in units.values()),
        unit=ints(row[vote.unit] for vote in votes),
        person=ints(person[vote.labeler] for vote in votes),
        value=ints(vote.value for vote in votes),
    )


def cluster_of(task: Task) -> str:
    """What is sampled when a task is: the group of its prompt (a debate, a document) where there is
    one, else the prompt."""
    return f"group {task.prompt.group}" if task.prompt.group else f"prompt {task.prompt.id}"


@dataclass(frozen=True)
class Answered:
    """A judgment with its task, as it counts."""

    task: Task
    labeler: str
    answer: Answer
    judgment: Judgment


@dataclass(frozen=True)
class Round:
    """Tasks, judgments and people, looked up by id once. `UserError`-free: a judgment of an unknown
    task is no judgment of this round and raises KeyError."""

    tasks: Sequence[Task]
    judgments: Sequence[Judgment]
    people: Sequence[Person]
    task: Mapping[str, Task] = field(init=False)
    person: Mapping[str, Person] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", {task.id: task for task in self.tasks})
        known = {person.id: person for person in self.people}
        for judgment in self.judgments:
            known.setdefault(judgment.labeler, Person(judgment.labeler))
        object.__setattr__(self, "person", known)

    def counts(self, labeler: str) -> bool:
        """Whether a person's judgments count."""
        return self.person[labeler].state not in GONE

    def answered(self, origin: str = "normal", held_out: bool | None = None) -> list[Answered]:
        """The answers to tasks of an origin that count, skips left out. held_out: only of people
        who are held out, only of the others, or of both (None)."""
        return [
            Answered(task, judgment.labeler, judgment.answer, judgment)
            for judgment in self.judgments
            if (task := self.task[judgment.task]).origin == origin
            and not judgment.answer.skipped
            and self.counts(judgment.labeler)
            and (held_out is None or self.person[judgment.labeler].held_out == held_out)
        ]

    def groups(self) -> dict[str, list[str]]:
        """People who count by their group, those without one left out."""
        found: dict[str, list[str]] = {}
        for person in self.person.values():
            if person.group and self.counts(person.id):
                found.setdefault(person.group, []).append(person.id)
        return {name: found[name] for name in sorted(found)}


def distinct(responses: Sequence[str]) -> list[int]:
    """Indices of the responses, equal texts once."""
    return [i for i, text in enumerate(responses) if responses.index(text) == i]


def pair_votes(answered: Sequence[Answered]) -> Iterator[Vote]:
    """Votes on pairs of responses: `SIDES`. Pairs that the person did not judge have none."""
    for one in answered:
        for i, j in combinations(distinct(one.task.responses), 2):
            verdict = one.answer.verdict(i, j)
            if verdict is not None:
                cluster = cluster_of(one.task)
                yield Vote((one.task.id, i, j), cluster, one.labeler, round(2 * verdict))


def likert_votes(answered: Sequence[Answered]) -> Iterator[Vote]:
    """Votes on responses: `LIKERT`."""
    for one in answered:
        for i in distinct(one.task.responses) if one.answer.likert else ():
            rating = one.answer.likert[i]
            if rating is not None:
                yield Vote((one.task.id, i), cluster_of(one.task), one.labeler, rating - 1)


def flag_votes(answered: Sequence[Answered], flag: str) -> Iterator[Vote]:
    """Votes on responses: `FLAG`. An answer without flags at all did not ask for them."""
    for one in answered:
        for i in distinct(one.task.responses) if one.answer.flags else ():
            value = int(flag in one.answer.flags[i])
            yield Vote((one.task.id, i), cluster_of(one.task), one.labeler, value)


def flag_names(answered: Sequence[Answered]) -> list[str]:
    """All flags that somebody set, in sorted order."""
    return sorted({flag for one in answered for flags in one.answer.flags for flag in flags})
