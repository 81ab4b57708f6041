"""A pickle that must never be read, and a table at the end: cases, seconds and counts per file."""

from __future__ import annotations

import os
import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from reliability.figures import MARK


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Write the table."""
    if not all("reliability" in argument for argument in config.args):
        return
    cases: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    figures: dict[str, list[str]] = defaultdict(list)
    for report in (r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)):
        name = Path(report.location[0]).stem.removeprefix("test_")
        cases[name] += report.passed and report.when == "call"
        seconds[name] += report.duration
        if report.when == "call":
            figures[name] += [
                line.removeprefix(MARK)
                for line in report.capstdout.splitlines()
                if line.startswith(MARK)
            ]
    for name in sorted(cases):
        terminalreporter.write_line(f"{name}: {cases[name]} cases, {seconds[name]:.0f} s")
        for line in figures[name]:
            terminalreporter.write_line(f"    {line}")


class Bomb:
    """Unpickled, it makes the marker file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.marker),))


@pytest.fixture
def bomb(tmp_path: Path) -> tuple[Path, bytes]:
    """(the marker that must never be made, a pickle that makes it)."""
    marker = tmp_path / "marker"
    return marker, pickle.dumps(Bomb(marker))
