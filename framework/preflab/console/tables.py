"""Tables on the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from preflab import terminal

if TYPE_CHECKING:
    from rich.table import Table


def show(table: Table) -> None:
    """A table on stdout, as wide as the terminal, or wide enough for a file."""
    from rich.console import Console

    width = terminal.width() if sys.stdout.isatty() else max(terminal.width(), _natural(table))
    Console(width=width).print(table)


def fits(table: Table) -> bool:
    """Whether a table needs no more than the terminal's width; in a file it always does."""
    return not sys.stdout.isatty() or _natural(table) <= terminal.width()


def _natural(table: Table) -> int:
    """The width at which no cell is broken, but for those that have a width of their own."""
    from rich.console import Console

    wide = Console(width=100_000)
    return wide.measure(table).maximum
