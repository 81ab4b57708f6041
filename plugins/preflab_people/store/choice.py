"""Which kind of task is due, and whom a person should share tasks with: pure functions. A hash
decides where another program would draw, so that the same history gives the same tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from preflab.randomness import derive_seed

Shared = Mapping[tuple[str, str], int]
"""By pair of people, in both directions: how many tasks both judged."""
WANTED_PARTNERS = 3
"""Others with whom everybody should share tasks, where there are so many."""


def due(
    round_name: str, labeler: str, answers: int, gold_share: float, retest_share: float
) -> Literal["gold", "retest", "normal"]:
    """What a person with so many answers gets next.

    >>> [due("r", "labeler-a", n, 1.0, 0.0) for n in (0, 1)]
    ['gold', 'gold']
    """
    place = derive_seed(round_name, labeler, answers, "due") / 2**63
    if place < gold_share:
        return "gold"
    return "retest" if place < gold_share + retest_share else "normal"


def pick(names: Collection[str], *parts: int | str) -> str:
    """One of some names, by a hash.

    >>> pick(["a"], "anything")
    'a'
    """
    return min(names, key=lambda name: derive_seed(*parts, name))


def parts(people: Iterable[str], shared: Iterable[tuple[str, str]]) -> list[set[str]]:
    """People in sets: two are in one set if they share tasks, directly or by way of others.

    >>> [sorted(part) for part in parts("abc", [("a", "b")])]
    [['a', 'b'], ['c']]
    """
    found = {person: {person} for person in people}
    for first, second in shared:
        a, b = found.setdefault(first, {first}), found.setdefault(second, {second})
        if a is not b:
            a |= b
            found |= dict.fromkeys(b, a)
    return list({id(part): part for part in found.values()}.values())


def by_value(
    me: str, others: Iterable[str], shared: Shared, found: Iterable[set[str]]
) -> list[str]:
    """Other people, those first with whom it is worth most to share a task: who belong to another
    part of the people, then who are no partners yet, then with whom the fewest tasks are shared.

    >>> by_value("a", "bcd", {("a", "b"): 2, ("a", "c"): 1}, [{"a", "b", "c"}])
    ['d', 'c', 'b']
    """
    mine = next((part for part in found if me in part), {me})
    return sorted(others, key=lambda other: (other in mine, shared.get((me, other), 0), other))


@dataclass(frozen=True, slots=True)
class Share:
    """What one person should judge of the tasks that several people judge. tasks: how many;
    with_one: how many of them with one and the same partner; partners: how many partners."""

    tasks: int
    with_one: int
    partners: int


def fair_share(places: int, people: int) -> Share:
    """What each of some people should judge. places: judgments wanted of all such tasks.

    >>> fair_share(1200, 8)
    Share(tasks=150, with_one=50, partners=3)
    """
    tasks = -(-places // people)
    partners = min(WANTED_PARTNERS, people - 1)
    return Share(tasks, -(-tasks // max(1, partners)), partners)
