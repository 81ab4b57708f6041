"""Results as a table: one row per group and one for all samples."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from preflab.interfaces import Measure
from preflab_builtin.stored_samples.measures import Result


def show(groups: Sequence[str], results: Sequence[Result], scored: int, left_out: int) -> None:
    """Print them. groups: the group columns; scored, left_out: numbers of rows."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate([*groups, "rows", *results[0].measures]):
        table.add_column(Text(heading), justify="left" if i < len(groups) else "right")
    for result in results:
        names = [result.group.get(column, "all") for column in groups]
        cells = [*names, str(result.n), *map(_cell, result.measures.values())]
        table.add_row(*map(Text, cells))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    left = f", {left_out} left out" if left_out else ""
    print(f"{scored} rows scored{left}. Intervals are 95 %, over rows.")


def _cell(measure: Measure) -> str:
    value = f"{measure.value:.3f}"
    if not math.isfinite(measure.low):
        return value
    return f"{value}\n[{measure.low:.3f}, {measure.high:.3f}]"
