"""Shows on stderr how far a run is: a bar in a terminal, a line now and then elsewhere, nothing with PREFLAB_QUIET=1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab import hookimpl

if TYPE_CHECKING:
    from preflab_builtin.progress.display import Display

_display: Display | None = None
"""The display of the run that this process is in; a run that starts puts its own in place."""


@hookimpl
def preflab_run_started(folder: Path, stages: Sequence[str]) -> None:
    """Choose the display and say where the run is kept."""
    global _display
    from preflab_builtin.progress.display import choose

    _close()
    _display = choose(stages)
    _display.line(f"run {folder}: {', '.join(stages) or 'no stages'}")


@hookimpl
def preflab_stage_started(
    stage: str, total_steps: int, history: Sequence[Mapping[str, Any]]
) -> None:
    """A stage begins, or goes on after the steps in its history."""
    if _display is not None:
        _display.started(stage, total_steps, len(history))


@hookimpl
def preflab_stage_reused(stage: str) -> None:
    """Say that nothing was computed."""
    if _display is not None:
        _display.reused(stage)


@hookimpl
def preflab_step_finished(stage: str, step: int, metrics: Mapping[str, float]) -> None:
    """Move on."""
    if _display is not None:
        _display.step(stage, step, metrics)


@hookimpl
def preflab_stage_finished(stage: str, seconds: float) -> None:
    """Say how long it took."""
    if _display is not None:
        _display.finished(stage, seconds)


@hookimpl
def preflab_run_finished() -> None:
    """Leave the terminal as it was."""
    _close()


@hookimpl
def preflab_run_failed() -> None:
    """Leave the terminal as it was: the error message comes next."""
    _close()


def _close() -> None:
    global _display
    if _display is not None:
        _display.close()
        _display = None
