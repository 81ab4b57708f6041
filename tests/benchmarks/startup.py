"""CPU time of commands that have nothing to compute."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.shapes import STARTUP_TARGET

COMMANDS = (("--help",), ("--cfg", "job"), ("plugins",))
TIMES = 3


def cpu_seconds(words: tuple[str, ...]) -> float:
    """User and system time of ``preflab WORDS``, its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    preflab = Path(sys.executable).with_name("preflab")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([str(preflab), *words], stdout=subprocess.DEVNULL, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def startup() -> Iterator[dict[str, Any]]:
    """One line per command, the least of three (a busy machine only adds) after one that warms the
    disk's cache."""
    for words in COMMANDS:
        cpu_seconds(words)
        seconds = min(cpu_seconds(words) for _ in range(TIMES))
        yield {
            "name": "startup",
            "command": f"preflab {' '.join(words)}",
            "cpu_seconds": seconds,
            "target": STARTUP_TARGET,
        }
