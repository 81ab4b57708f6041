"""Results as a table: one row per group, one for all samples, and one per pair of groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from preflab import terminal
from preflab.interfaces import Measure
from preflab.intervals import decimals
from preflab_builtin.stored_samples.measures import Result
from preflab_builtin.stored_samples.samples import Stored


def show(
    groups: Sequence[str], results: Sequence[Result], stored: Stored, notes: Sequence[str]
) -> None:
    """Print them, what the intervals are over, and the notes. groups: the group columns."""
    console = Console(width=terminal.width())
    console.print(_table(groups, "rows", [r for r in results if not r.versus]))
    compared = [result for result in results if result.versus]
    if compared:
        console.print(_table(["difference"], "questions", [_named(r, groups) for r in compared]))
    left = f", {stored.left_out} left out" if stored.left_out else ""
    count = len(stored.samples)
    rows = f"{count} row{'s' * (count != 1)} scored"
    print(f"{rows}{left}. Intervals are 95 %, {_over(stored)}.")
    for note in notes:
        print(note)


def _over(stored: Stored) -> str:
    """What the intervals are over."""
    if not stored.question:
        return "over rows"
    count = len({sample.question for sample in stored.samples})
    columns = ", ".join(stored.question)
    return (
        f"over {count} questions (column {columns}): rows of one question depend on each other; "
        "--independent counts every row"
    )


def _named(result: Result, groups: Sequence[str]) -> Result:
    """A comparison under one name."""

    def name(group: Mapping[str, str]) -> str:
        return ", ".join(group[column] for column in groups)

    label = f"{name(result.group)} - {name(result.versus)}"
    return Result({"difference": label}, result.n, result.measures)


def _table(groups: Sequence[str], count: str, results: Sequence[Result]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate([*groups, count, *results[0].measures]):
        table.add_column(Text(heading), justify="left" if i < len(groups) else "right")
    for result in results:
        names = [result.group.get(column, "all") for column in groups]
        cells = [*names, str(result.n), *map(_cell, result.measures.values())]
        table.add_row(*map(Text, cells))
    return table


def _cell(measure: Measure) -> str:
    """The value and its interval.

    >>> _cell(Measure(0.0, 0.0, 0.0003, 9))
    '0.0000\\n[0.0000, 0.0003]'
    """
    digits = decimals(measure.low, measure.high, 3)
    value = f"{measure.value:.{digits}f}"
    if not math.isfinite(measure.low):
        return value
    return f"{value}\n[{measure.low:.{digits}f}, {measure.high:.{digits}f}]"
