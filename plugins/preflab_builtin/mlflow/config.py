"""Options of the tracker ``mlflow``."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import Inspection, option
from preflab.tracking import TrackerConfig, require


@dataclass
class MLflowConfig(TrackerConfig):
    """A run in MLflow (extra ``mlflow``)."""

    name: str = option("mlflow", "component")
    uri: str = option(
        "sqlite:///mlflow.db",
        "MLflow's tracking URI: a database (this one is a file in the folder in which the command "
        "is given), or a server as http://localhost:5000",
        affects_result=False,
    )
    experiment: str = option(
        "preflab", "experiment that the run belongs to; it is made if need be", affects_result=False
    )


def inspect(config: MLflowConfig) -> Inspection:
    """`UserError` if MLflow, or what it needs for a database, is not installed."""
    require("mlflow", "mlflow", "mlflow")
    if "://" in config.uri and not config.uri.startswith(("http", "file")):
        for package in ("sqlalchemy", "alembic"):
            require("mlflow", package, "mlflow")
    return Inspection()
