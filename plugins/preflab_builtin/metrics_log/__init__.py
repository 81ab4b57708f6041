"""Writes what a run reports into files of its folder: ``metrics.jsonl``, ``samples.jsonl``."""

from __future__ import annotations

from pathlib import Path

from preflab import hookimpl


@hookimpl
def preflab_observers(folder: Path) -> list[object]:
    """The log of one run."""
    from preflab_builtin.metrics_log.writer import MetricsLog

    return [MetricsLog(folder)]
