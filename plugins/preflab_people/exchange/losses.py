"""What a format cannot hold of what people said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import combinations

from preflab_people.exchange.labels import Labels
from preflab_people.exchange.privacy import for_training
from preflab_people.judgments import Answer, Task

TIES, RATINGS, FLAGS, NOTES, SKIPS = "ties", "ratings", "flags", "notes", "skips"
ASPECTS = (TIES, RATINGS, FLAGS, NOTES, SKIPS)


def losses(labels: Labels, holds: Collection[str]) -> dict[str, int]:
    """By aspect that a format does not hold: in how many judgments it is.

    >>> losses(Labels((), (), ()), ())
    {}
    """
    some = for_training(labels)
    tasks = {task.id: task for task in some.tasks}
    said = Counter(
        aspect
        for judgment in some.judgments
        for aspect in _aspects(tasks[judgment.task], judgment.answer)
    )
    return {aspect: said[aspect] for aspect in ASPECTS if said[aspect] and aspect not in holds}


def _aspects(task: Task, answer: Answer) -> Iterator[str]:
    pairs = combinations(range(len(answer.ranks)), 2)
    texts = task.responses
    if any(texts[i] != texts[j] and answer.verdict(i, j) == 0.5 for i, j in pairs):
        yield TIES
    said = {
        RATINGS: any(answer.likert),
        FLAGS: any(answer.flags),
        NOTES: bool(answer.notes),
        SKIPS: bool(answer.skipped),
    }
    yield from (aspect for aspect, is_there in said.items() if is_there)
