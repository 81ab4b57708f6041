"""Says how far the reading of a long file is, on stderr: a bar in a terminal, a line at the end
elsewhere, nothing for what is read within seconds, or with PREFLAB_QUIET=1."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from preflab.rows.streams import Watch

PATIENCE = 2.0
"""Seconds before anything is said."""
REDRAWN = 0.2
"""Seconds between two pictures of the bar."""


@contextmanager
def watching(path: Path, size: int) -> Iterator[Watch]:
    """Within it the watch is told of bytes that were read, of ``size`` in all."""
    if os.environ.get("PREFLAB_QUIET", "") not in ("", "0"):
        yield lambda count: None
    elif sys.stderr.isatty():
        with _bar(path, size) as watch:
            yield watch
    else:
        began = time.monotonic()
        yield lambda count: None
        seconds = time.monotonic() - began
        if seconds > PATIENCE:
            megabytes = f"{size / 1e6:,.0f} MB"
            sys.stderr.write(f"preflab: {path}: {megabytes} read in {seconds:.0f} s\n")
            sys.stderr.flush()


@contextmanager
def _bar(path: Path, size: int) -> Iterator[Watch]:
    """A bar that is redrawn when something was read: it has no thread, so that a process that reads
    can fork."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("reading {task.description}", markup=False),
        BarColumn(24),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    console = Console(file=sys.stderr)
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False)
    task = bar.add_task(path.name, total=size)
    drawn = time.monotonic() + PATIENCE

    def watch(count: int) -> None:
        nonlocal drawn
        bar.advance(task, count)
        if time.monotonic() > drawn:
            bar.start()
            bar.refresh()
            drawn = time.monotonic() + REDRAWN

    try:
        yield watch
    finally:
        bar.stop()
