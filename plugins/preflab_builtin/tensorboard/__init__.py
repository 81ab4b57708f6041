"""Writes a run's metrics for TensorBoard into the folder ``tensorboard`` of the run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab import hookimpl

if TYPE_CHECKING:
    from preflab_builtin.tensorboard.writer import TensorBoardLog

_log: TensorBoardLog | None = None
"""The log of the run that this process is in; a run that starts puts its own in place."""


@hookimpl
def preflab_run_started(folder: Path, config: Mapping[str, Any]) -> None:
    """Open the event file of this run."""
    global _log
    from preflab_builtin.tensorboard.writer import TensorBoardLog

    _close()
    _log = TensorBoardLog(folder, config)


@hookimpl
def preflab_stage_started(stage: str, history: Sequence[Mapping[str, Any]]) -> None:
    """Steps that an interrupted run did before."""
    if _log is not None:
        _log.replay(stage, history)


@hookimpl
def preflab_stage_reused(stage: str, history: Sequence[Mapping[str, Any]]) -> None:
    """Steps that the reused artifact was made with."""
    if _log is not None:
        _log.replay(stage, history)


@hookimpl
def preflab_step_finished(stage: str, step: int, metrics: Mapping[str, float]) -> None:
    """One point a metric."""
    if _log is not None:
        _log.step(stage, step, metrics)


@hookimpl
def preflab_stage_finished() -> None:
    """Make the stage's points visible."""
    if _log is not None:
        _log.flush()


@hookimpl
def preflab_run_finished(summary: Mapping[str, Any]) -> None:
    """The row of the HPARAMS tab, then close."""
    if _log is not None:
        _log.hparams(summary)
    _close()


@hookimpl
def preflab_run_failed() -> None:
    """Keep what there is."""
    _close()


def _close() -> None:
    global _log
    if _log is not None:
        _log.close()
        _log = None
