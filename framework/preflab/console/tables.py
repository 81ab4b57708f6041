"""Tables on the terminal."""

from __future__ import annotations

import sys
from typing import Any


def show(renderable: Any) -> None:
    """A rich table on stdout, as wide as the terminal, or wide enough for a file."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(renderable)
