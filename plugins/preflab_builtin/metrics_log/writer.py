"""The two files: one JSON object per line, flushed at every line, so that a killed run leaves whole
rows."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from preflab.tracking import Sample, TrackedRun, finite, sample_row
from preflab_builtin.metrics_log.config import JsonLinesConfig

METRICS, SAMPLES = "metrics.jsonl", "samples.jsonl"
REPLAYED = ".samples.jsonl.tmp"
"""The samples of a run that goes on, until it has shown those of the killed process again."""


class JsonLines:
    """The log of one run. A run that goes on writes both files anew, from its first step.
    samples.jsonl of the killed process, which is the only copy of its samples, stays until the run
    does a step of its own or is complete: all earlier steps were shown again by then.

    metrics.jsonl: {"stage", "step", "time", metric: value, ...}, one row per step of every stage,
    in order. time is in seconds since 1970; it is null for a step that was done before this run
    (by a killed run, or for a reused artifact). samples.jsonl: {"stage", "step", "prompt_id",
    "prompt", "response", "terminated", "tokens", value: ...}, the first rows of every batch that
    was sampled. Numbers that are not finite are null.
    """

    def __init__(self, config: JsonLinesConfig, run: TrackedRun) -> None:
        run.folder.mkdir(parents=True, exist_ok=True)
        self._metrics = (run.folder / METRICS).open("w", encoding="utf8", buffering=1)
        self._kept = run.folder / SAMPLES
        self._written = run.folder / REPLAYED if self._kept.exists() else self._kept
        self._samples = self._written.open("w", encoding="utf8", buffering=1)

    def log(self, stage: str, step: int, metrics: Mapping[str, float], time: float | None) -> None:
        """The row of a step."""
        when = None if time is None else round(time, 3)
        row = {"stage": stage, "step": step, "time": when, **finite(metrics)}
        self._metrics.write(json.dumps(row) + "\n")
        if time is not None:
            self._replace()

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
        if summary is not None:
            self._replace()
        elif self._written != self._kept:
            self._written.unlink()

    def _replace(self) -> None:
        """From now on the samples that were written are those of the run."""
        if self._written != self._kept:
            os.replace(self._written, self._kept)
            self._written = self._kept
