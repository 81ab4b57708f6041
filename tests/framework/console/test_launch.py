"""Command lines that run or show something: what is refused, and what is only shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from preflab import SweepError, UserError
from preflab.composing.search_path import registry
from preflab.console import launch as launching
from preflab.console.launch import launch, report_text
from preflab.jobs.places import Places


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


def test_a_terminal_shows_that_a_command_is_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for shows, said in ((True, "preflab: checking the command and its data\n"), (False, "")):
        monkeypatch.setattr(sys.stderr, "isatty", lambda shows=shows: shows, raising=False)
        with pytest.raises(UserError, match="seed is -1"):
            launch(["seed=-1"])
        assert capsys.readouterr().err == said


def test_a_search_in_which_no_trial_has_a_result_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All jobs end well and none gives the objective: the process ends with exit code 1."""
    trial = {"state": "failed", "why": "gold/gold is not a number in job 0."}
    facts = {"objective": "gold/gold", "trials": [trial]}
    (tmp_path / "search.json").write_text(json.dumps(facts))
    monkeypatch.setattr(launching, "carry_out", lambda line, jobs: (Places(tmp_path, ()), ""))
    search = "study.search={objective:gold/gold,trials:1,sampler:random}"
    words = ["-m", "algorithm=ppo", "algorithm.kl.coef=interval(0.01,1)"]
    with pytest.raises(SweepError, match="No trial has a result") as refused:
        launch([*words, search])
    assert refused.value.exit_code == 1


def test_without_a_plugin_for_reports_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(registry()), "report", lambda registry, folders, out: None)
    assert report_text([tmp_path], tmp_path / "x") == "No installed plugin makes reports."
