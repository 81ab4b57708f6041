"""One run in Weights & Biases."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab.tracking import Sample, TrackedRun, measures_of
from preflab_builtin.wandb.config import Mode, WandbConfig

FOLDER = "wandb"


class WandbRun:
    """A run's numbers under their names, over ``step/STAGE``, the stage's own step; its responses
    as the tables samples/STAGE; its config; its measures as the summary.

    There is one row for each step of a stage, and its number follows from the stage and the step:
    those of a stage begin after those of the stage before it. A row is sent when the next one
    begins, so that numbers and responses of a step are in it together.

    The run's id comes from its folder, so that a run that was killed goes on as the same run of
    wandb. All of its steps are shown again: online, the rows are sent whose numbers wandb does not
    hold, whatever was lost in the kill; offline, the files of the killed process are replaced,
    unless they were synced.
    """

    def __init__(self, config: WandbConfig, run: TrackedRun) -> None:
        if config.mode is Mode.offline:
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing leaves this machine
        import wandb

        self._named, self._table = set[str](), wandb.Table
        self._stage, self._first, self._number = "", 0, -1
        self._row, self._samples = dict[str, Any](), list[tuple[int, Sample]]()
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
            name="/".join(run.title),
            dir=str(run.folder),
            config=dict(run.config),
            settings=wandb.Settings(silent=True, console="off", save_code=False, disable_git=True),
        )
        self._held = int(self._run.step)

    def log(self, stage: str, step: int, metrics: Mapping[str, float], time: float | None) -> None:
        """The numbers of a step."""
        axis = f"step/{stage}"
        for name in metrics.keys() - self._named:
            self._run.define_metric(name, step_metric=axis)
        self._named |= metrics.keys()
        self._at(stage, step)
        self._row |= metrics

    def show(self, stage: str, step: int, samples: Sequence[Sample]) -> None:
        """The responses as a table."""
        self._at(stage, step)
        self._samples += [(step, sample) for sample in samples]

    def flush(self) -> None:
        """The last row of the stage. wandb's own process writes at once."""
        self._send()

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """The measures of a complete run as its summary. A run that is not complete has failed."""
        self._send()
        for name, measure in measures_of(summary).items():
            for part in ("value", "low", "high", "n"):
                if measure.get(part) is not None:
                    self._run.summary[f"result/{name}.{part}"] = measure[part]
        self._run.finish(exit_code=0 if summary is not None else 1)

    def _at(self, stage: str, step: int) -> None:
        """Begin the row of a step, if it is another than the last one."""
        if stage != self._stage:
            self._send()
            self._stage, self._first = stage, self._number + 1
        number = self._first + step
        if number != self._number:
            self._send()
        self._number = number
        self._row[f"step/{stage}"] = step

    def _send(self) -> None:
        """Send the row that was begun, unless wandb holds it from an earlier process."""
        row, samples, self._row, self._samples = self._row, self._samples, {}, []
        if row and self._number >= self._held:
            if samples:
                row[f"samples/{self._stage}"] = self._as_table(samples)
            self._run.log(row, step=self._number, commit=True)

    def _as_table(self, samples: Sequence[tuple[int, Sample]]) -> Any:
        names = list(dict.fromkeys(name for _, sample in samples for name in sample.values))
        table = self._table(columns=["step", "id", "prompt", "response", *names])
        for step, sample in samples:
            values = [sample.values.get(name) for name in names]
            table.add_data(step, sample.prompt_id, sample.prompt, sample.response, *values)
        return table


def _remove_unsynced(folder: Path, key: str) -> None:
    """Remove what a killed process of the run wrote and nobody has synced."""
    for old in folder.glob(f"offline-run-*-{key}"):
        if not list(old.glob("*.synced")):
            shutil.rmtree(old)
