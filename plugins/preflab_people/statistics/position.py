"""Does the place on the page decide? Responses are shown in a shuffled order, which every judgment
keeps, so that the answer is a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from preflab.interfaces import Measure
from preflab.two_way import Cells, cells, mean_about_people, mean_about_prompts
from preflab_people.judgments import Answer
from preflab_people.statistics.votes import Answered, cluster_of

EARLIER = (
    "Of pairs of responses of which a person preferred one, the share in which that one was shown "
    "before the other: 0.5 without a bias."
)
FIRST = "Share of tasks in which the response at this place was ranked best; ties share it."


def earlier_preferred(answered: Sequence[Answered]) -> Measure:
    """`EARLIER`, with an interval about other prompts and people; about other prompts for one
    person."""
    table = _earlier(answered)
    alone = len({one.labeler for one in answered}) < 2
    return (mean_about_prompts if alone else mean_about_people)(table, 0.0, 1.0)


def best_by_place(answered: Sequence[Answered], shown: int) -> list[Measure]:
    """`FIRST` for each place of tasks with ``shown`` distinct responses. Without a bias each is
    1 / shown."""
    tables: list[Measure] = []
    some = [one for one in answered if len(one.judgment.order) == shown and _ranked(one)]
    for place in range(shown):
        values = [best_share(one.answer, one.judgment.order)[place] for one in some]
        table = cells(
            values,
            [one.task.prompt.id for one in some],
            [one.labeler for one in some],
            [cluster_of(one.task) for one in some],
        )
        tables.append(mean_about_people(table, 0.0, 1.0))
    return tables


def best_share(answer: Answer, order: Sequence[int]) -> list[float]:
    """For each place of an order its share of the best response.

    >>> best_share(Answer(ranks=(2, 1, 1)), (1, 0, 2))
    [0.5, 0.0, 0.5]
    """
    ranks = [answer.ranks[i] for i in order]
    best = min(rank for rank in ranks if rank is not None)
    winners = [rank == best for rank in ranks]
    return [float(won) / sum(winners) for won in winners]


def _ranked(one: Answered) -> bool:
    return any(one.answer.ranks[i] is not None for i in one.judgment.order if one.answer.ranks)


def _earlier(answered: Sequence[Answered]) -> Cells:
    rows = [(one, value) for one in answered for value in _sides_by_place(one)]
    return cells(
        [value for _, value in rows],
        [one.task.prompt.id for one, _ in rows],
        [one.labeler for one, _ in rows],
        [cluster_of(one.task) for one, _ in rows],
        weigh_values=True,
    )


def _sides_by_place(one: Answered) -> Iterator[float]:
    """For each pair of which one was preferred: 1 if that was shown first, else 0."""
    for earlier, later in combinations(one.judgment.order, 2):
        verdict = one.answer.verdict(earlier, later)
        if verdict is not None and verdict != 0.5:
            yield verdict
