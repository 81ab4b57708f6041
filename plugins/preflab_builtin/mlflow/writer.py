"""One run in MLflow."""

from __future__ import annotations

import os
import re
import time as clock
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab.tracking import Sample, TrackedRun
from preflab_builtin.mlflow.config import MLflowConfig

RUN = "mlflow_run.txt"
"""In the run's folder: the id of its run of MLflow."""
MOST_PARAMS, LONGEST = 100, 6000
"""MLflow takes so many parameters in one request, and texts of so many letters."""


class MLflowRun:
    """A run's numbers under their names, over the stage's own step; its config as parameters; its
    responses as files samples/STAGE/STEP.json.

    The id of MLflow's run is kept in the run's folder, so that a run that was killed goes on as the
    same run of MLflow. All of its steps are shown again, and of each metric those steps that MLflow
    does not hold are sent.
    """

    def __init__(self, config: MLflowConfig, run: TrackedRun) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nobody has asked for it
        from mlflow import MlflowClient

        self._client: Any = MlflowClient(tracking_uri=config.uri)
        self._held = set[tuple[str, int]]()
        self._id = self._resumed(run.folder / RUN) or self._new(config, run)

    def log(self, stage: str, step: int, metrics: Mapping[str, float], time: float | None) -> None:
        """The numbers of a step in one request."""
        from mlflow.entities import Metric

        when = int((clock.time() if time is None else time) * 1000)
        named = {written(name): value for name, value in metrics.items()}
        new = {name: v for name, v in named.items() if (name, step) not in self._held}
        rows = [Metric(name, value, when, step) for name, value in new.items()]
        if rows:
            self._client.log_batch(self._id, metrics=rows)

    def show(self, stage: str, step: int, samples: Sequence[Sample]) -> None:
        """The responses as a JSON file."""
        rows = [{**vars(sample), "values": dict(sample.values)} for sample in samples]
        self._client.log_dict(self._id, {"rows": rows}, f"samples/{stage}/{step:06}.json")

    def flush(self) -> None:
        """Every request has been answered already."""

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Finished, or failed."""
        status = "FINISHED" if summary is not None else "FAILED"
        self._client.set_terminated(self._id, status)

    def _new(self, config: MLflowConfig, run: TrackedRun) -> str:
        from mlflow.entities import Param

        found = self._client.get_experiment_by_name(config.experiment)
        experiment = (
            found.experiment_id
            if found
            else self._client.create_experiment(
                config.experiment, artifact_location=_beside(config.uri)
            )
        )
        tags = {"preflab.folder": str(run.folder.resolve())}
        made = self._client.create_run(experiment, run_name="/".join(run.title), tags=tags)
        params = [Param(written(k), str(v)[:LONGEST]) for k, v in run.flat_config().items()]
        for first in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(made.info.run_id, params=params[first : first + MOST_PARAMS])
        (run.folder / RUN).write_text(made.info.run_id, encoding="utf8")
        return str(made.info.run_id)

    def _resumed(self, path: Path) -> str:
        """The id of the run that goes on, with the steps of each metric that MLflow holds; "" if
        there is none."""
        from mlflow.exceptions import MlflowException

        if not path.is_file():
            return ""
        run_id = path.read_text(encoding="utf8").strip()
        try:
            names = self._client.get_run(run_id).data.metrics
        except MlflowException:  # it was deleted, or the URI is another
            return ""
        for name in names:
            history = self._client.get_metric_history(run_id, name)
            self._held |= {(name, metric.step) for metric in history}
        self._client.update_run(run_id, status="RUNNING")
        return run_id


def written(name: str) -> str:
    """A name as MLflow takes it: other signs than its own are _.

    >>> written("eval/win rate (held_out)"), written("algorithm.kl.coef")
    ('eval/win rate _held_out_', 'algorithm.kl.coef')
    """
    return re.sub(r"[^\w\-. /]", "_", name)


def _beside(uri: str) -> str | None:
    """Files of a run in a local database are in the folder mlruns beside it; elsewhere MLflow says
    where."""
    file = uri.removeprefix("sqlite:///")
    return None if file == uri else (Path(file).resolve().parent / "mlruns").as_uri()
