"""What became of the rows and tokens of a run: every one that is left out or cut is counted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preflab_builtin.report.arms import Arm
from preflab_builtin.report.runs import RunResult
from preflab_builtin.report.wording import NOTHING

SHARED_TOKEN = "padding is the end token"
"""A fact that is counted as 1."""
_LOSS = re.compile(
    r"^left out|^dropped|left out|lost| cut$|^missing|: missing|without a preference"
    rf"|{SHARED_TOKEN}"
)
"""Names of counts of things that are gone."""
Place = tuple[str, str]
"""A record type or a stage, and what is counted there."""


def accounts(arms: Sequence[Arm]) -> list[tuple[Place, list[str]]]:
    """One row per count, one cell per arm: its number, or the smallest and largest of its runs."""
    by_arm = [[dict(counts(run)) for run in arm.runs] for arm in arms]
    places = dict.fromkeys(place for runs in by_arm for run in runs for place in run)
    return [
        (place, [_cell([run[place] for run in runs if place in run]) for runs in by_arm])
        for place in places
    ]


def losses(arms: Sequence[Arm]) -> str:
    """One sentence: the most that any run left out, cut or lost; "" if no run has counts."""
    numbers = [row for arm in arms for run in arm.runs for row in counts(run)]
    if not numbers:
        return ""
    most: dict[Place, float] = {}
    for place, number in numbers:
        if number and _LOSS.search(place[1]):
            most[place] = max(number, most.get(place, 0))
    if not most:
        return "All records and tokens were used: none was left out or cut."
    by_place: dict[str, list[str]] = {}
    for (where, what), number in most.items():
        by_place.setdefault(where, []).append(_counted(what, number))
    parts = "; ".join(f"{where}: {', '.join(some)}" for where, some in by_place.items())
    several = sum(len(arm.runs) for arm in arms) > 1
    return f"Left out or cut{' (the most in any run)' * several}: {parts}."


def _counted(what: str, number: float) -> str:
    """A count as a sentence says it.

    >>> _counted("dropped, deduplicate: the same record again", 3)
    '3 dropped (deduplicate: the same record again)'
    >>> _counted("mix: tokens left out per epoch", 22), _counted("missing end tokens", 1)
    ('22 tokens left out per epoch (mix)', '1 text without an end token')
    >>> _counted("rankings without a preference", 1), _counted(SHARED_TOKEN, 1)
    ('1 ranking without a preference', 'padding is the end token')
    """
    head, comma, reason = what.partition(", ")
    if comma:
        return f"{number:g} {head} ({reason})"
    if what == SHARED_TOKEN:
        return what
    head, colon, rest = what.rpartition(": ")
    if rest == "missing end tokens":
        rest = "texts without an end token"
    if number == 1:
        rest = re.sub(r"s\b", "", rest, count=1)
    return f"{number:g} {rest}{f' ({head})' * bool(colon)}"


def counts(run: RunResult) -> Iterator[tuple[Place, float]]:
    """Every count of a run, records first."""
    for record_type, table in run.records.items():
        yield (record_type, "read"), _number(table.get("total"))
        for reason, number in _items(table.get("left out by the source")):
            yield (record_type, f"left out, {reason}"), number
        for reason, number in _items(table.get("dropped")):
            yield (record_type, f"dropped, {reason}"), number
        for split, number in _items(table.get("kept")):
            yield (record_type, f"kept, {split}"), number
    for stage, table in run.accounting.items():
        for what, number in _items(table):
            yield (stage, what), number


def examples(arms: Sequence[Arm]) -> list[tuple[Place, list[str]]]:
    """What the filters left out: by record type and reason, some rows as a run lists them."""
    found: dict[Place, list[str]] = {}
    for run in (run for arm in arms for run in arm.runs):
        for record_type, table in run.records.items():
            shown = table.get("examples")
            for reason, rows in shown.items() if isinstance(shown, Mapping) else ():
                found.setdefault((record_type, str(reason)), list(map(str, rows)))
    return list(found.items())


def _items(table: Any) -> list[tuple[str, float]]:
    items = table.items() if isinstance(table, Mapping) else ()
    return [(str(key), _number(value)) for key, value in items]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _cell(numbers: Sequence[float]) -> str:
    if not numbers:
        return NOTHING
    low, high = min(numbers), max(numbers)
    return f"{low:.10g}" if low == high or high != high else f"{low:.10g} to {high:.10g}"
