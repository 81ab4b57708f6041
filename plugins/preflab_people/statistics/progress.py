"""How far a round is: what is left, how long it takes people, and whether they share enough prompts
to be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from preflab_people.judgments import takes_place
from preflab_people.statistics.votes import Answered, Round

PARTNERS = 3
"""Everybody should share prompts with at least this many others, or with all where they are
fewer."""


@dataclass(frozen=True)
class Pace:
    """A person's speed. hours: time in which pages were in use. per_hour: tasks in such an hour."""

    judged: int
    hours: float
    per_hour: float


@dataclass(frozen=True)
class Progress:
    """A round's progress. wanted, done, open: judgments of normal tasks. hours_left: of people, at
    the mean time of a judgment so far; nan if none was timed."""

    wanted: int
    done: int
    open: int
    skipped: int
    seconds: float
    hours_left: float
    pace: Mapping[str, Pace]


@dataclass(frozen=True)
class Overlap:
    """Who shares prompts with whom. parts: sets of people of which no two share a prompt; 1 is
    connected. partners: for each person how many others they share a prompt with."""

    shared_prompts: int
    parts: int
    partners: Mapping[str, int]

    @property
    def enough(self) -> bool:
        """Connected, and everybody with `PARTNERS` others."""
        needed = min(PARTNERS, len(self.partners) - 1)
        return self.parts <= 1 and all(n >= needed for n in self.partners.values())


def progress(asked: Round) -> Progress:
    """What is done and what is left of the normal tasks."""
    normal = asked.answered()
    count = _taken(asked)
    tasks = [task for task in asked.tasks if task.origin == "normal"]
    open_ = sum(max(0, task.want - count[task.id]) for task in tasks)
    timed = [one.judgment.seconds for one in normal if one.judgment.seconds > 0]
    seconds = sum(timed) / len(timed) if timed else float("nan")
    return Progress(
        wanted=sum(task.want for task in tasks),
        done=sum(min(task.want, count[task.id]) for task in tasks),
        open=open_,
        skipped=sum(
            bool(j.answer.skipped) and asked.task[j.task].origin == "normal"
            for j in asked.judgments
        ),
        seconds=seconds,
        hours_left=open_ * seconds / 3600 if open_ else 0.0,
        pace={name: _pace(name, normal) for name in asked.person if asked.counts(name)},
    )


def _pace(labeler: str, normal: list[Answered]) -> Pace:
    own = [one.judgment.seconds for one in normal if one.labeler == labeler]
    timed = [seconds for seconds in own if seconds > 0]
    hours = sum(timed) / 3600
    return Pace(len(own), hours, len(timed) / hours if hours else float("nan"))


def overlap(asked: Round) -> Overlap:
    """Which people judged the same prompts."""
    by_prompt: dict[str, set[str]] = {}
    for one in asked.answered():
        by_prompt.setdefault(one.task.prompt.id, set()).add(one.labeler)
    people = sorted({name for some in by_prompt.values() for name in some})
    place = {name: i for i, name in enumerate(people)}
    pairs = {pair for some in by_prompt.values() for pair in combinations(sorted(some), 2)}
    ends = np.array([[place[a], place[b]] for a, b in pairs], dtype=np.int64).reshape(-1, 2)
    graph = sparse.coo_array(
        (np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(people), len(people))
    )
    parts = connected_components(graph, directed=False)[0] if people else 0
    return Overlap(
        shared_prompts=sum(len(some) > 1 for some in by_prompt.values()),
        parts=int(parts),
        partners={name: sum(name in pair for pair in pairs) for name in people},
    )


def needing_others(asked: Round, skip_limit: int) -> int:
    """How many open judgments of normal tasks nobody who may work can give, because they have
    judged or skipped the task already. skip_limit: a task that so many skipped is given to nobody,
    and counts as none."""
    told: dict[str, set[str]] = {}
    skips: Counter[str] = Counter()
    for judgment in asked.judgments:
        told.setdefault(judgment.task, set()).add(judgment.labeler)
        skips[judgment.task] += bool(judgment.answer.skipped)
    count = _taken(asked)
    missing = 0
    for task in asked.tasks:
        if task.origin != "normal" or skips[task.id] >= skip_limit:
            continue
        able = sum(
            person.state in ("active", "screening")
            and takes_place("normal", task.kind, person.held_out)
            and person.id not in told.get(task.id, ())
            for person in asked.person.values()
        )
        missing += max(0, task.want - count[task.id] - able)
    return missing


def _taken(asked: Round) -> Counter[str]:
    """Judgments by task that are of those that it wants."""
    return Counter(
        one.task.id
        for one in asked.answered()
        if takes_place("normal", one.task.kind, asked.person[one.labeler].held_out)
    )
