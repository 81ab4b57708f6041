"""A run that is begun again in its folder stays the same run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framework.jobs.test_execution import _trouble, read, tried  # noqa: F401  a fixture
from preflab import PluginError
from preflab.engine.stages import Stages
from preflab.jobs.execution import execute

pytestmark = pytest.mark.slow


def test_a_run_that_is_given_again_keeps_its_hours_its_start_and_what_it_made(
    tmp_path: Path,
) -> None:
    job, run = tried(tmp_path, "ok"), tmp_path / "run"
    execute(job, run)
    first = read(run / "manifest.json")
    first["started"], first["seconds"] = "2026-01-01T00:00:00+00:00", 90.0
    first["stages"][0]["seconds"] = 90.0
    (run / "manifest.json").write_text(json.dumps(first))
    summary = execute(job, run)
    again = read(run / "manifest.json")
    assert (again["started"], again["seconds"]) == (first["started"], 90.0)
    assert [(row["reused"], row["seconds"]) for row in again["stages"]] == [(False, 90.0)]
    assert (summary["computed"], summary["reused"]) == (["algorithm"], [])
    other = tmp_path / "other"
    other.mkdir()
    assert execute(job, other)["reused"] == ["algorithm"]  # of another run, not of this one
    assert read(other / "manifest.json")["seconds"] == 0.0


def test_attempts_that_did_not_finish_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed one of 50 s and a complete one of 30 s took 80 s, whatever the stage lists."""
    run, took = tmp_path / "run", [50.0]
    monkeypatch.setattr(Stages, "unfinished", property(lambda stages: took[0]))
    monkeypatch.chdir(tmp_path)
    job = tried(tmp_path, "raise")
    with pytest.raises(PluginError):
        execute(job, run)
    begun = read(run / "manifest.json")
    assert (begun["status"], begun["seconds"]) == ("failed", 50.0)
    took[0] = 0.0
    (tmp_path / "mended").touch()
    execute(job, run)
    made = read(run / "manifest.json")
    assert made["started"] == begun["started"]
    (row,) = made["stages"]
    assert made["seconds"] == pytest.approx(50.0 + row["seconds"], abs=0.02)
