"""What of a round trains something: normal tasks, and people who are neither held out nor removed,
as rankings and demonstrations in canonical order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from preflab.records import Demonstration, Ranking, preferences_from_ranks, to_json
from preflab_people.judgments import GONE, Answer, Judgment, Person, Task

Judged = tuple[Task, Judgment, Person]


def canonical(
    tasks: Sequence[Task], judgments: Iterable[Judgment], people: Iterable[Person]
) -> list[Judged]:
    """Judgments with their task and person, in the order of the tasks, then of the labelers' ids:
    the same set of judgments is in the same order, whenever it was given."""
    place = {task.id: n for n, task in enumerate(tasks)}
    known = {person.id: person for person in people}
    ordered = sorted(judgments, key=lambda j: (place[j.task], j.labeler))
    return [(tasks[place[j.task]], j, known[j.labeler]) for j in ordered]


def trains(person: Person) -> bool:
    """Whether what a person says may train anything."""
    return not person.held_out and person.state not in GONE


def counts_for_training(task: Task, person: Person) -> bool:
    """Whether what a person says of a task may train anything."""
    return task.origin == "normal" and trains(person)


def given_for_training(judged: Iterable[Judged]) -> list[Judged]:
    """The answers among some judgments that train something."""
    return [
        (task, judgment, person)
        for task, judgment, person in judged
        if counts_for_training(task, person) and not judgment.answer.skipped
    ]


# --- rankings ---


def preferences(answer: Answer, responses: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """(better, worse) pairs of an answer. Responses that were not judged, and equal texts, are in
    none.

    >>> preferences(Answer(ranks=(2, None, 1, 3)), ["a", "b", "c", "a"])
    ((2, 0), (2, 3))
    """
    judged = [i for i, rank in enumerate(answer.ranks) if rank is not None]
    pairs = preferences_from_ranks([float(answer.ranks[i] or 0) for i in judged])
    named = ((judged[i], judged[j]) for i, j in pairs)
    return tuple((i, j) for i, j in named if responses[i] != responses[j])


def unjudged(answer: Answer, responses: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs (i, j), i < j, of different texts that the person did not compare; what is in neither
    these nor `preferences` is a tie.

    >>> unjudged(Answer(ranks=(2, None, 1, 2)), ["a", "b", "c", "d"])
    ((0, 1), (1, 2), (1, 3))
    """
    return tuple(
        (i, j)
        for i, j in combinations(range(len(responses)), 2)
        if responses[i] != responses[j] and answer.verdict(i, j) is None
    )


def ranking(task: Task, judgment: Judgment, person: Person) -> Ranking:
    """A judgment as the ranking of one person, in which everything may be tied."""
    answer, responses = judgment.answer, task.responses
    better = preferences(answer, responses)
    missing = unjudged(answer, responses)
    rated = [float(value) for value in answer.likert if value is not None]
    ratings = tuple(rated) if len(rated) == len(responses) else ()
    return Ranking(task.prompt, responses, better, person.id, person.group, missing, ratings)


def rankings(judged: Iterable[Judged]) -> list[Ranking]:
    """Those of judgments that train something, those included in which everything is tied."""
    return [ranking(*row) for row in given_for_training(judged) if row[1].answer.ranks]


# --- demonstrations ---


def demonstrations(judged: Iterable[Judged]) -> Iterator[Demonstration]:
    """What people wrote, because they were asked to, or because all responses were bad."""
    for task, judgment, person in given_for_training(judged):
        if written := judgment.answer.written:
            yield Demonstration(task.prompt, written, person.id, person.group)


def demonstration_row(demonstration: Demonstration) -> dict[str, Any]:
    """A row that ``demonstrations=files`` reads: a text or a conversation, its completion, and who
    wrote it."""
    about = to_json(demonstration.prompt)
    asked = about.pop("messages", None) or about["text"]
    del about["text"]
    who = {"labeler": demonstration.labeler, "labeler_group": demonstration.group}
    kept = {key: value for key, value in about.items() if value}
    return {"prompt": asked, "completion": demonstration.response, **kept, **who}
