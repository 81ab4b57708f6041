"""One column that says something of every answer: a list or an object of numbers, names of answers
from best to worst, or names that people voted for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from preflab.rows import BadRow
from preflab_builtin.files.values import listed, structured, truth
from preflab_builtin.files.verdicts.layouts import How, Layout
from preflab_builtin.files.verdicts.pointing import NOTHING, number

_TIE = -1
UNNAMED = math.inf
"""In place of the rank of an answer that an order by name leaves out."""


def spread(
    value: Any, how: How | None, layout: Layout, row: Mapping[str, Any]
) -> list[float] | None:
    """A number for each answer of the row, in their order; None if the value does not give one.
    Of names, as ranks those from best to worst (`UNNAMED` for an answer that is not among two or
    more of them), and otherwise the votes for each. how: None if it is not known what they say."""
    value, count = _read(value), len(layout.texts(row))
    if isinstance(value, Mapping):
        return _of_object(value, layout, row)
    if isinstance(value, (list, tuple)) and len(value) == count:
        numbers = [amount(one) for one in value]
        if None not in numbers:
            return [one for one in numbers if one is not None]
    if how is How.RANKS or not is_named(value):
        return _order(value, layout, row)
    return _votes(value, layout, row)


def is_named(value: Any) -> bool:
    """Whether a value is a list of names, or a text with them in an order, and not of numbers."""
    value = _read(value)
    if isinstance(value, str):
        return ">" in value
    one = value[0] if isinstance(value, (list, tuple)) and value else None
    return isinstance(one, (list, tuple)) or (isinstance(one, str) and amount(one) is None)


def is_votes(value: Any, count: int) -> bool:
    """Whether a value of so many answers counts votes: it lists names, or has a count of ties."""
    value = _read(value)
    return is_named(value) or (isinstance(value, Mapping) and len(value) > count)


def amount(value: Any) -> float | None:
    """A number, or 1 and 0 for a mark; None for any other value."""
    found = number(value)
    if found is not None:
        return found
    try:
        return float(truth(value, ""))
    except BadRow:
        return None


def _read(value: Any) -> Any:
    """The list or the object that a text of a table spells."""
    return listed(value) if isinstance(value, str) and value[:1] == "[" else structured(value)


def _of_object(
    value: Mapping[str, Any], layout: Layout, row: Mapping[str, Any]
) -> list[float] | None:
    """{"a": 3, "b": 1}; a key for ties counts as an answer that nobody gave."""
    numbers = {key: amount(one) for key, one in value.items()}
    if None in numbers.values():
        return None
    places = _places(list(numbers), layout, row)
    found = {place: one or 0.0 for place, one in zip(places, numbers.values(), strict=True)}
    ties = found.pop(_TIE, 0.0)
    count = len(layout.texts(row))
    if len(found) + (_TIE in places) != len(places) or sorted(found) != list(range(count)):
        return None
    tied = ties > 0 and ties >= max(found.values())
    return [0.0 if tied else found[place] for place in range(count)]


def _places(names: Sequence[Any], layout: Layout, row: Mapping[str, Any]) -> list[int]:
    """The answers that names mean: their own numbers, or all of 0, 1, 2 or of 1, 2, 3."""
    numbers, count = [number(name) for name in names], len(layout.texts(row))
    own = [layout.pointer.numbers.get(str(name), NOTHING) for name in names]
    if NOTHING not in own:
        return own
    for start in (0, 1):
        if sorted(n for n in numbers if n is not None) == [*range(start, count + start)]:
            places = [_TIE if n is None else int(n) - start for n in numbers]
            ties = (name for name, n in zip(names, numbers, strict=True) if n is None)
            return places if all(layout.points(t, row) == _TIE for t in ties) else [NOTHING]
    return [layout.points(name, row) for name in names]


def _order(value: Any, layout: Layout, row: Mapping[str, Any]) -> list[float] | None:
    """["b", ["a", "c"]] or "b > a = c": the best is first, and those of an inner list are equal."""
    if isinstance(value, str) and ">" in value and "<" not in value:
        value = [part.split("=") for part in value.strip("[] ").split(">")]
    if not isinstance(value, (list, tuple)):
        return None
    groups = [list(one) if isinstance(one, (list, tuple)) else [one] for one in value]
    entries = [name for group in groups for name in group]
    names = [name.strip() for name in entries if isinstance(name, str)]
    places, count = _places(names, layout, row), len(layout.texts(row))
    once = len(set(places)) == len(places) == len(entries) > 1
    if not once or not all(0 <= place < count for place in places):
        return None
    ranks, given = [UNNAMED] * count, iter(places)
    for rank, group in enumerate(groups, 1):
        for _ in group:
            ranks[next(given)] = float(rank)
    return ranks


def _votes(value: Any, layout: Layout, row: Mapping[str, Any]) -> list[float] | None:
    """["a", "a", "b"]: two votes for the first."""
    if not isinstance(value, (list, tuple)) or not value:
        return None
    places = [layout.points(one, row) if isinstance(one, str) else NOTHING for one in value]
    if NOTHING in places:
        return None
    count = len(layout.texts(row))
    found = [float(places.count(place)) for place in range(count)]
    tied = _TIE in places and places.count(_TIE) >= max(found)
    return [0.0] * count if tied else found
