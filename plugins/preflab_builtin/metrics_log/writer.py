"""The two files: one JSON object per line, flushed at every line, so that a killed run leaves whole
rows."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab import hookimpl

if TYPE_CHECKING:
    from preflab.records import Rollout

METRICS, SAMPLES = "metrics.jsonl", "samples.jsonl"
SAMPLES_PER_ROLLOUT = 4


class MetricsLog:
    """The log of one run.

    metrics.jsonl: {"stage", "step", "time", metric: value, ...}, one row per step of every stage,
    in order. time is in seconds since 1970; it is null for a step that was done before this run
    (by a killed run, or for a reused artifact). samples.jsonl: {"stage", "step", "prompt_id",
    "prompt", "response", "terminated", "tokens",
    value: ...}, the first rows of every batch that was sampled.
    Numbers that are not finite are null.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._metrics = (folder / METRICS).open("w", encoding="utf8", buffering=1)
        self._samples = (folder / SAMPLES).open("w", encoding="utf8", buffering=1)

    @hookimpl
    def preflab_stage_started(self, stage: str, history: Sequence[Mapping[str, Any]]) -> None:
        """Rows of steps that this run did not do itself."""
        for row in history:
            values = {name: value for name, value in row.items() if name != "step"}
            self._write({"stage": stage, "step": int(row["step"]), "time": None}, values)

    preflab_stage_reused = preflab_stage_started

    @hookimpl
    def preflab_step_finished(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """The row of a step."""
        self._write({"stage": stage, "step": step, "time": round(time.time(), 3)}, metrics)

    @hookimpl
    def preflab_rollout_finished(
        self, stage: str, step: int, rollout: Rollout, values: Mapping[str, Sequence[float]]
    ) -> None:
        """The first few rows of a sampled batch, with their numbers."""
        for i in range(min(SAMPLES_PER_ROLLOUT, len(rollout))):
            row = {
                "stage": stage,
                "step": step,
                "prompt_id": rollout.prompts[i].id,
                "prompt": rollout.prompts[i].text,
                "response": rollout.texts[i],
                "terminated": bool(rollout.terminated[i]),
                "tokens": int(rollout.response_lengths[i]),
                **{name: finite(column[i]) for name, column in values.items()},
            }
            self._samples.write(json.dumps(row) + "\n")

    @hookimpl
    def preflab_run_finished(self) -> None:
        """Close both files."""
        self._metrics.close()
        self._samples.close()

    preflab_run_failed = preflab_run_finished

    def _write(self, facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
        row = {**facts, **{name: finite(value) for name, value in metrics.items()}}
        self._metrics.write(json.dumps(row) + "\n")


def finite(value: Any) -> float | None:
    """A number as JSON can hold it: nan and infinities are null."""
    number = float(value) if value is not None else math.nan
    return number if math.isfinite(number) else None
