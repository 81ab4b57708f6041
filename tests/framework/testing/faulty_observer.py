"""A plugin file with an observer that is wrong as FAULT says, for test_contracts.py."""

from __future__ import annotations

import random
from pathlib import Path

from preflab import hookimpl

FAULT = ""


@hookimpl
def preflab_step_finished(metrics: dict[str, float]) -> None:
    """Do the wrong thing."""
    if FAULT == "fragile":
        _ = next(iter(metrics.values()))
    if FAULT == "meddling":
        metrics["mine"] = 1.0
    if FAULT == "gambling":
        random.random()
    if FAULT == "messy":
        Path("notes.txt").touch()
