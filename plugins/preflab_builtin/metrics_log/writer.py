"""The two files: one JSON object per line, flushed at every line, so that a killed run leaves whole
rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from preflab.tracking import Sample, TrackedRun, finite, sample_row
from preflab_builtin.metrics_log.config import JsonLinesConfig

METRICS, SAMPLES = "metrics.jsonl", "samples.jsonl"


class JsonLines:
    """The log of one run. A run that goes on writes both files anew, from its first step.

    metrics.jsonl: {"stage", "step", "time", metric: value, ...}, one row per step of every stage,
    in order. time is in seconds since 1970; it is null for a step that was done before this run
    (by a killed run, or for a reused artifact). samples.jsonl: {"stage", "step", "prompt_id",
    "prompt", "response", "terminated", "tokens", value: ...}, the first rows of every batch that
    was sampled. Numbers that are not finite are null.
    """

    def __init__(self, config: JsonLinesConfig, run: TrackedRun) -> None:
        run.folder.mkdir(parents=True, exist_ok=True)
        self._metrics = (run.folder / METRICS).open("w", encoding="utf8", buffering=1)
        self._samples = (run.folder / SAMPLES).open("w", encoding="utf8", buffering=1)

    def log(self, stage: str, step: int, metrics: Mapping[str, float], time: float | None) -> None:
        """The row of a step."""
        when = None if time is None else round(time, 3)
        row = {"stage": stage, "step": step, "time": when, **finite(metrics)}
        self._metrics.write(json.dumps(row) + "\n")

    def show(self, stage: str, step: int, samples: Sequence[Sample]) -> None:
        """A row for each sample."""
        for sample in samples:
            self._samples.write(json.dumps(sample_row(stage, step, sample)) + "\n")

    def flush(self) -> None:
        """Every line is written already."""

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Close both files."""
        self._metrics.close()
        self._samples.close()
