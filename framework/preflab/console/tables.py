"""Tables on the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

USUAL = 160
"""Characters of a line in a file, unless a table needs more: nothing is cut there."""


def show(table: Table) -> None:
    """A table on stdout, as wide as the terminal, or wide enough for a file."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else max(USUAL, _natural(table))
    Console(width=width).print(table)


def fits(table: Table) -> bool:
    """Whether a table needs no more than the terminal's width; in a file it always does."""
    from rich.console import Console

    return not sys.stdout.isatty() or _natural(table) <= Console().width


def _natural(table: Table) -> int:
    """The width at which no cell is broken, but for those that have a width of their own."""
    from rich.console import Console

    wide = Console(width=100_000)
    return wide.measure(table).maximum
