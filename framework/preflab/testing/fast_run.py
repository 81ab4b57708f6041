"""A whole run of the engine, small, in a folder: what the fixture ``preflab_run`` gives."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FastRun:
    """A finished run. folder: its run folder; summary: its summary.json."""

    folder: Path
    summary: Mapping[str, Any]

    @property
    def stages(self) -> dict[str, Path]:
        """The artifact folder of each stage, in order."""
        manifest = json.loads((self.folder / "manifest.json").read_text(encoding="utf8"))
        return {row["stage"]: Path(row["artifact"]) for row in manifest["stages"]}

    def metrics(self, stage: str) -> list[dict[str, Any]]:
        """The metric row of each step of a stage."""
        from preflab.storage.artifacts import METRICS, read_rows

        return read_rows(self.stages[stage] / METRICS)

    @property
    def measures(self) -> Mapping[str, Mapping[str, float]]:
        """What the evaluation found, by measure: value, low, high, n."""
        measures: Mapping[str, Mapping[str, float]] = self.summary.get("evaluation", {}).get(
            "measures", {}
        )
        return measures


def fast_run(folder: Path, overrides: Sequence[str]) -> FastRun:
    """Run overrides with debug=fast; several runs in one folder share artifacts. Raises what the
    run raises."""
    import torch

    from preflab.composing.compose import compose
    from preflab.jobs.execution import execute
    from preflab.planning.reading import job_of

    words = [
        "debug=fast",
        f"artifacts.dir={folder / 'artifacts'}",
        "runtime.device=cpu",
        "runtime.threads=1",
        *overrides,
    ]
    number = len(list(folder.glob("runs/*")))
    run_folder = folder / "runs" / str(number)
    run_folder.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        summary = execute(job_of(compose(words, with_hydra=True)), run_folder)
    return FastRun(run_folder, summary)
