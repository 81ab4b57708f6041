"""What people read on a terminal: how wide its tables are, and a time in words."""

from __future__ import annotations

import shutil
import sys

WIDTH_OF_A_FILE = 176
"""Characters of a line of a table in a file: nothing is cut there that a wide terminal shows."""


def width() -> int:
    """Characters of a line on stdout: those of the terminal, or of a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH_OF_A_FILE


def duration(seconds: float) -> str:
    """A time in two units at most.

    >>> duration(0.4), duration(59.6), duration(3720)
    ('0.4 s', '1 min 0 s', '1 h 2 min')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if whole < 60:
        return f"{whole} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
