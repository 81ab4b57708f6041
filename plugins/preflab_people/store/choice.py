"""Which kind of task is due, and whom a person should share tasks with: pure functions. A hash
decides where another program would draw, so that the same history gives the same tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from preflab.randomness import derive_seed

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


def value_of_sharing(
    me: str, others: Collection[str], shared: Mapping[tuple[str, str], int], mine: Collection[str]
) -> tuple[int, int]:
    """How much a task that others judged is worth to a person who could judge it too: first whether
    it joins two parts of the people, then whether one of the others is a new partner.

    shared: by pair, how many tasks both judged. mine: the people of my own part.
    """
    joins = any(other not in mine for other in others)
    new = any(not shared.get((me, other)) for other in others)
    return int(joins), int(new)
