"""Writes what a run reports into plain files of its folder: ``metrics.jsonl`` and ``samples.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab import hookimpl

if TYPE_CHECKING:
    from preflab.records import Rollout
    from preflab_builtin.metrics_log.writer import MetricsLog

_log: MetricsLog | None = None
"""The log of the run that this process is in; a run that starts puts its own in place."""


@hookimpl
def preflab_run_started(folder: Path) -> None:
    """Open the files of this run."""
    global _log
    from preflab_builtin.metrics_log.writer import MetricsLog

    _close()
    _log = MetricsLog(folder)


@hookimpl
def preflab_stage_started(stage: str, history: Sequence[Mapping[str, Any]]) -> None:
    """Rows of the steps that an interrupted run did before."""
    if _log is not None:
        _log.replay(stage, history)


@hookimpl
def preflab_stage_reused(stage: str, history: Sequence[Mapping[str, Any]]) -> None:
    """Rows that the reused artifact was made with."""
    if _log is not None:
        _log.replay(stage, history)


@hookimpl
def preflab_step_finished(stage: str, step: int, metrics: Mapping[str, float]) -> None:
    """One row."""
    if _log is not None:
        _log.step(stage, step, metrics)


@hookimpl
def preflab_rollout_finished(
    stage: str, step: int, rollout: Rollout, values: Mapping[str, Sequence[float]]
) -> None:
    """A few samples."""
    if _log is not None:
        _log.samples(stage, step, rollout, values)


@hookimpl
def preflab_run_finished() -> None:
    """Close the files."""
    _close()


@hookimpl
def preflab_run_failed() -> None:
    """Close the files."""
    _close()


def _close() -> None:
    global _log
    if _log is not None:
        _log.close()
        _log = None
