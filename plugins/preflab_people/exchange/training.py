"""Judgments as training data: rankings and demonstrations of people who are neither held out nor
removed, of normal tasks, in the order of the tasks and then of the labelers' ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from preflab.records import Prompt, Ranking, preferences_from_ranks
from preflab_people.exchange.labels import Labels
from preflab_people.exchange.privacy import for_training
from preflab_people.judgments import Answer, Judgment, Person, Task


@dataclass(frozen=True)
class Written:
    """What a person wrote, with who it was."""

    prompt: Prompt
    response: str
    labeler: str
    group: str


def rankings(labels: Labels) -> Iterator[Ranking]:
    """A ranking for each person and task that holds a preference: a tie of all holds none."""
    for task, judgment, person in _ordered(labels):
        if pairs := preferences(judgment.answer, task.responses):
            yield Ranking(task.prompt, task.responses, pairs, person.id, person.group)


def demonstrations(labels: Labels) -> Iterator[Written]:
    """What people wrote, asked for or because all responses were bad."""
    for task, judgment, person in _ordered(labels):
        if judgment.answer.written:
            yield Written(task.prompt, judgment.answer.written, person.id, person.group)


def preferences(answer: Answer, responses: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """(better, worse) pairs of an answer, without responses that were not judged, and without
    pairs of one text.

    >>> preferences(Answer(ranks=(2, None, 1, 3)), ("a", "b", "c", "a"))
    ((2, 0), (2, 3))
    """
    judged = [(i, rank) for i, rank in enumerate(answer.ranks) if rank is not None]
    pairs = preferences_from_ranks([rank for _, rank in judged])
    named = ((judged[i][0], judged[j][0]) for i, j in pairs)
    return tuple((i, j) for i, j in named if responses[i] != responses[j])


def _ordered(labels: Labels) -> Iterator[tuple[Task, Judgment, Person]]:
    some = for_training(labels)
    place = {task.id: i for i, task in enumerate(some.tasks)}
    person = {one.id: one for one in some.people}
    for judgment in sorted(some.judgments, key=lambda j: (place[j.task], j.labeler)):
        if not judgment.answer.skipped:
            yield some.tasks[place[judgment.task]], judgment, person[judgment.labeler]
