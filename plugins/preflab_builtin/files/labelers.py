"""Which group of people a row's labeler is of: its name, and what is said of all of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from preflab.rows import BadRow, fields, shown
from preflab_builtin.files.names import PEOPLE, words_of
from preflab_builtin.files.values import blank, says_nothing

COLUMN = "labeler_group"
_JUDGED = (PEOPLE - {"user", "person", "email"}) | {"labelers", "labellers", "raters", "workers"}
_PERSON, _GROUP = {"id", "name", "uuid", "hash", "no"}, {"group", "groups", "team", "cohort"}
"""Words beside them in a name that says who judged, and of which group."""
NAMED = 12
"""Groups that a sentence names; of more it says the number."""


def labeler_group(row: Mapping[str, Any], column: str = COLUMN) -> str:
    """The name without white space around it; "" for an empty cell. `BadRow` for a word for
    nothing: it would be a group, with as much say as any other.

    >>> labeler_group({"labeler_group": " nurses"}), labeler_group({"labeler_group": None})
    ('nurses', '')
    """
    if blank(row.get(column)):
        return ""
    name = fields.identifier(row, column).strip()
    if says_nothing(name) or name.lower() == "na":  # as R writes it
        raise BadRow(
            column,
            f"is '{shown(name)}', a word for nothing, which would be a group of its own. Leave the "
            "cell empty where nobody knows the labeler's group; rename the group if it is one",
        )
    return name


def overlooked(names: Iterable[str], option: Callable[[str], str]) -> Iterator[str]:
    """A sentence on each column that nobody reads and whose name says who judged, or of which group
    that person is. option: as in `RowSettings`."""
    for name in sorted(names):
        words = set(words_of(name))
        if words & _JUDGED and words <= _JUDGED | _PERSON | _GROUP:
            read, what = ("labeler", "who judged")
            if words & _GROUP:
                read, what = (COLUMN, "the group of whoever judged")
            yield f"if '{shown(name)}' is {what}: {option(f'{read}={shown(name)}')}."


def told(groups: Counter[str]) -> Iterator[str]:
    """The groups of a file with their records, those without one (""), and names that look like one
    group; nothing if no record has a group."""
    named = sorted((name, count) for name, count in groups.items() if name)
    if not named:
        return
    total, without = groups.total(), groups[""]
    parts = [f"{shown(name)} {count}" for name, count in named[:NAMED]]
    if len(named) > NAMED:
        parts.append(f"and {len(named) - NAMED} more")
    are = "group" if len(named) == 1 else "groups"
    said = f"labelers are of {len(named)} {are}: {', '.join(parts)}"
    yield f"{said}; {without} of {total} records have no group." if without else f"{said}."
    alike = defaultdict[str, list[str]](list)
    for name, _ in named:
        alike["".join(name.split()).casefold()].append(f"'{shown(name)}'")
    for names in alike.values():
        if len(names) > 1:
            yield (
                f"the labeler groups {' and '.join(names)} differ by capitals or space alone, and "
                "count as different groups: if they are one, write them alike."
            )
