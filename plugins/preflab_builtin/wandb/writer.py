"""One run in Weights & Biases."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab.tracking import Sample, TrackedRun
from preflab_builtin.wandb.config import Mode, WandbConfig

FOLDER = "wandb"


class WandbRun:
    """A run's numbers under their names, over ``step/STAGE``, the stage's own step; its responses
    as the tables samples/STAGE; its config; its measures as the summary.

    The run's id comes from its folder, so that a run that was killed goes on as the same run of
    wandb. All of its steps are shown again: online, wandb is told only what it does not hold yet;
    offline, the files of the killed process are replaced, unless they were synced.
    """

    def __init__(self, config: WandbConfig, run: TrackedRun) -> None:
        if config.mode is Mode.offline:
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing leaves this machine
        import wandb

        self._rows, self._named, self._table = 0, set[str](), wandb.Table
        key = hashlib.sha256(str(run.folder.resolve()).encode()).hexdigest()[:16]
        if wandb.run is not None:  # of a run of this process that was not closed
            wandb.finish(exit_code=1)
        if config.mode is Mode.offline:
            _remove_unsynced(run.folder / FOLDER, key)
        self._run: Any = wandb.init(
            project=config.project,
            entity=config.entity or None,
            group=config.group or str(run.config.get("arm") or "") or None,
            tags=list(config.tags) or None,
            mode=config.mode.value,
            id=key,
            resume="allow",
            name="/".join(run.folder.resolve().parts[-2:]),
            dir=str(run.folder),
            config=dict(run.config),
            settings=wandb.Settings(silent=True, console="off", save_code=False, disable_git=True),
        )
        self._held = int(self._run.step)

    def log(self, stage: str, step: int, metrics: Mapping[str, float], time: float | None) -> None:
        """The numbers of a step, as one row of wandb."""
        axis = f"step/{stage}"
        for name in metrics.keys() - self._named:
            self._run.define_metric(name, step_metric=axis)
        self._named |= metrics.keys()
        self._row({axis: step, **metrics})

    def show(self, stage: str, step: int, samples: Sequence[Sample]) -> None:
        """The responses as a table."""
        names = list(dict.fromkeys(name for sample in samples for name in sample.values))
        table = self._table(columns=["step", "id", "prompt", "response", *names])
        for sample in samples:
            values = [sample.values.get(name) for name in names]
            table.add_data(step, sample.prompt_id, sample.prompt, sample.response, *values)
        self._row({f"step/{stage}": step, f"samples/{stage}": table})

    def flush(self) -> None:
        """wandb's own process writes at once."""

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """The measures of a complete run as its summary. A run that is not complete has failed."""
        measures = ((summary or {}).get("evaluation") or {}).get("measures") or {}
        for name, measure in measures.items():
            for part in ("value", "low", "high", "n"):
                if measure.get(part) is not None:
                    self._run.summary[f"result/{name}.{part}"] = measure[part]
        self._run.finish(exit_code=0 if summary is not None else 1)

    def _row(self, values: Mapping[str, Any]) -> None:
        """The next row, unless wandb holds it from an earlier process."""
        if self._rows >= self._held:
            self._run.log(dict(values), step=self._rows)
        self._rows += 1


def _remove_unsynced(folder: Path, key: str) -> None:
    """Remove what a killed process of the run wrote and nobody has synced."""
    for old in folder.glob(f"offline-run-*-{key}"):
        if not list(old.glob("*.synced")):
            shutil.rmtree(old)
