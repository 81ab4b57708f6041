"""The tracker ``mlflow``: a run in MLflow."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The tracker."""
    from preflab_builtin.mlflow.config import MLflowConfig

    here = "preflab_builtin.mlflow"
    build, inspect = f"{here}.writer:MLflowRun", f"{here}.config:inspect"
    return [Component("tracker", "mlflow", MLflowConfig, build=build, inspect=inspect)]
