"""A run with every tracker, killed and run again: each of its steps is in each place once. Short
form in make test: tests/contracts/test_trackers.py."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from contracts import test_trackers as reading
from end_to_end.runs import killed, preflab

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the libraries
WORDS = (
    *("debug=fast", "algorithm=ppo", "checkpoint.every_steps=1", "runtime.threads=1"),
    *("+tracker@trackers.wandb=wandb", "trackers.wandb.project=mine", "hydra.run.dir=runs/a"),
    "+tracker@trackers.mlflow=mlflow",
)


@pytest.fixture(autouse=True)
def _the_libraries_are_installed() -> None:
    for name in ("wandb", "mlflow"):
        pytest.importorskip(name, reason=f"the extra {name} is not installed")


def test_every_step_is_in_every_place_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(tmp_path, "algorithm", 0, *WORDS)
    assert preflab(tmp_path, *WORDS) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    assert "switched off" not in (tmp_path / "log.txt").read_text()
    run = tmp_path / "runs" / "a"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    facts = ("stage", "step", "time")
    points = Counter((name, row["step"]) for row in rows for name in row if name not in facts)
    assert set(points.values()) == {1}

    found = Counter(reading.TestTensorBoard.points(run))
    assert found == points

    shown: list[dict[str, Any]] = list(reading.wandb_rows(run))
    steps = [(name, row[f"step/{row_stage(row)}"]) for row in shown for name in row]
    assert Counter(point for point in steps if point in points) == points
    assert len(list(run.glob("wandb/offline-run-*"))) == 1

    monkeypatch.chdir(tmp_path)
    assert Counter(reading.mlflow_points(run)) == points
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    batches = Counter((row["stage"], row["step"]) for row in samples)
    assert batches == {("algorithm", 0): 4, ("algorithm", 1): 4, ("evaluation", 0): 4}


def row_stage(row: dict[str, Any]) -> str:
    """The stage that a row of wandb is about."""
    return next(name.removeprefix("step/") for name in row if name.startswith("step/"))
