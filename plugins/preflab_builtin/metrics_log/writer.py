"""The two files: one JSON object a line, flushed at every line, so that a killed run leaves whole rows."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preflab.records import Rollout

METRICS, SAMPLES = "metrics.jsonl", "samples.jsonl"
SAMPLES_A_ROLLOUT = 4


class MetricsLog:
    """metrics.jsonl: {"stage", "step", "time", metric: value, ...}, one row a step of every stage in order; time is in
    seconds since 1970, null for a step that was done before this run (by a killed run, or for a reused artifact).
    samples.jsonl: {"stage", "step", "prompt_id", "prompt", "response", "terminated", "tokens", value: ...}, the first rows of
    every batch that was sampled. Numbers that are not finite are null."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._metrics = (folder / METRICS).open("w", encoding="utf8", buffering=1)
        self._samples = (folder / SAMPLES).open("w", encoding="utf8", buffering=1)

    def replay(self, stage: str, history: Sequence[Mapping[str, Any]]) -> None:
        """Rows of steps that this run did not do itself."""
        for row in history:
            values = {k: v for k, v in row.items() if k != "step"}
            self._write({"stage": stage, "step": int(row["step"]), "time": None}, values)

    def step(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """The row of a step."""
        self._write({"stage": stage, "step": step, "time": round(time.time(), 3)}, metrics)

    def samples(
        self, stage: str, step: int, rollout: Rollout, values: Mapping[str, Sequence[float]]
    ) -> None:
        """The first few rows of a sampled batch, with their numbers."""
        for i in range(min(SAMPLES_A_ROLLOUT, len(rollout))):
            row: dict[str, Any] = {"stage": stage, "step": step, "prompt_id": rollout.prompts[i].id}
            row |= {"prompt": rollout.prompts[i].text, "response": rollout.texts[i]}
            row |= {
                "terminated": bool(rollout.terminated[i]),
                "tokens": int(rollout.response_lengths[i]),
            }
            row |= {name: finite(column[i]) for name, column in values.items()}
            self._samples.write(json.dumps(row) + "\n")

    def close(self) -> None:
        """Close both files."""
        self._metrics.close()
        self._samples.close()

    def _write(self, facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
        self._metrics.write(
            json.dumps({**facts, **{k: finite(v) for k, v in metrics.items()}}) + "\n"
        )


def finite(value: Any) -> float | None:
    """A number as JSON can hold it: nan and infinities are null."""
    number = float(value) if value is not None else math.nan
    return number if math.isfinite(number) else None
