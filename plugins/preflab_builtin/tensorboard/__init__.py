"""Writes a run's metrics for TensorBoard into the folder ``tensorboard`` of the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preflab import hookimpl


@hookimpl
def preflab_observers(folder: Path, config: Mapping[str, Any]) -> list[object]:
    """The event file of one run."""
    from preflab_builtin.tensorboard.writer import TensorBoardLog

    return [TensorBoardLog(folder, config)]
