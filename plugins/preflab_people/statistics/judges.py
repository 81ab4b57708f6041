"""Does a judge that is not a person, such as a reward model or a simulated labeler, order responses
as people do? Its agreement stands beside people's own: no judge can agree with people much more
than they agree with each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from preflab.interfaces import Measure
from preflab.two_way import cells, mean_about_people, mean_about_prompts
from preflab_people.judgments import Task
from preflab_people.statistics.agreement import Agreement, ranking
from preflab_people.statistics.votes import (
    SIDES,
    Answered,
    cluster_of,
    distinct,
    pair_votes,
    table,
)

Prefers = Callable[[Task, int, int], float]
"""How far a judge prefers the first of two responses to the second, by their indices in a task: 1
for the first, 0.5 for a tie, 0 for the second, or a probability."""
DEFINITION = (
    "Of pairs of responses of which a person preferred one, the share in which the judge prefers "
    "the same one; a tie of the judge is half."
)


@dataclass(frozen=True)
class JudgeAgreement:
    """A judge beside people. about_people: interval about other prompts and people. people: how
    people agree with each other where both take a side (`agreement.BOTH_SIDES`)."""

    about_people: Measure
    about_prompts: Measure
    pairs: int
    people: Agreement
    definition: str = DEFINITION


def judge_agreement(answered: Sequence[Answered], prefers: Prefers) -> JudgeAgreement:
    """How often a judge orders pairs as people do. It is asked once about each pair."""
    known: dict[tuple[str, int, int], float] = {}
    rows: list[tuple[Answered, float]] = []
    for one in answered:
        for i, j in combinations(distinct(one.task.responses), 2):
            verdict = one.answer.verdict(i, j)
            if verdict is None or verdict == 0.5:
                continue
            place = (one.task.id, i, j)
            if place not in known:
                known[place] = prefers(one.task, i, j)
            rows.append((one, _alike(known[place], verdict)))
    found = cells(
        [value for _, value in rows],
        [one.task.prompt.id for one, _ in rows],
        [one.labeler for one, _ in rows],
        [cluster_of(one.task) for one, _ in rows],
        weigh_values=True,
    )
    both_sides, _, _ = ranking(table(list(pair_votes(answered)), SIDES))
    return JudgeAgreement(
        mean_about_people(found, 0.0, 1.0),
        mean_about_prompts(found, 0.0, 1.0),
        len(rows),
        both_sides,
    )


def by_scores(scores: Callable[[Task], Sequence[float]]) -> Prefers:
    """A judge that gives each response of a task a score, the highest for the best."""
    known: dict[str, Sequence[float]] = {}

    def prefers(task: Task, first: int, second: int) -> float:
        if task.id not in known:
            known[task.id] = scores(task)
        a, b = known[task.id][first], known[task.id][second]
        return 0.5 if a == b else float(a > b)

    return prefers


def _alike(preference: float, verdict: float) -> float:
    return 0.5 if preference == 0.5 else float((preference > 0.5) == (verdict > 0.5))
