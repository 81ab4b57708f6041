"""Command lines that run or show something: what is refused, and what is only shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from preflab import UserError
from preflab.composing.search_path import registry
from preflab.console import launch as launching
from preflab.console.launch import launch, report_text


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["preflab"])
    monkeypatch.setattr(launching, "skip_last_collection", lambda: None)


def test_a_config_is_shown_and_nothing_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch(["--cfg", "job", "seed=7"]) == 0
    shown = OmegaConf.create(capsys.readouterr().out)
    assert (shown.seed, "hydra" in shown) == (7, False)
    assert list(tmp_path.iterdir()) == []


def test_a_multirun_under_torchrun_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="A multirun cannot be started under torchrun"):
        launch(["-m", "seed=1,2"])


def test_a_wrong_job_stops_all_before_the_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"seed is -1.*\n\(in the job seed=-1\)"):
        launch(["-m", "seed=1,-1"])
    assert list(tmp_path.iterdir()) == []


def test_without_a_plugin_for_reports_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(registry()), "report", lambda registry, folders, out: None)
    assert report_text([tmp_path], tmp_path / "x") == "No installed plugin makes reports."
