"""The tracker ``tensorboard``: a run's numbers and sampled texts, in the folder ``tensorboard`` of
the run's folder."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The tracker."""
    from preflab_builtin.tensorboard.config import TensorBoardConfig

    build = "preflab_builtin.tensorboard.writer:TensorBoardLog"
    return [Component("tracker", "tensorboard", TensorBoardConfig, build=build)]
