"""Options of the tracker ``tensorboard``."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import option
from preflab.tracking import TrackerConfig


@dataclass
class TensorBoardConfig(TrackerConfig):
    """Event files for TensorBoard."""

    name: str = option("tensorboard", "component")
    folder: str = option(
        "tensorboard",
        "where the event files are: a folder in the run's folder, or an absolute path, in which "
        "each run has a folder of its own",
        affects_result=False,
    )
