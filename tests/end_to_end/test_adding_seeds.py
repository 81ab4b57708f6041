"""A study that adds seeds by itself, through the real engine: it looks at the same blocks after a
kill, and stops when its claims are decided."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from end_to_end.runs import preflab
from preflab.storage.run_folder import read_ledger

STUDY = """
defaults: [config, _self_]
arm: only
study:
  seeds: {at_least: 2, at_most: 3, block: 1}
  claims:
    sure: {statement: It is above 1.5, measure: families/mean, arm: only, margin: 1.5}
    never: {statement: It is above 0.2, measure: families/mean, arm: only, margin: 0.2}
hydra: {mode: MULTIRUN}
"""
KILLER = """
import os
from preflab import hookimpl


@hookimpl
def preflab_run_started(config):
    if config["seed"] == 3 and os.environ.get("KILL"):
        os.kill(os.getppid(), 9)
"""
SMALL = (
    "sft=none algorithm=none reward_model=none samples=none comparisons=none debug=fast "
    "evaluation.evaluators.reward=null evaluation.evaluators.reward_accuracy=null runtime.threads=1"
).split()
LOOK = "2 seeds: 1 of 2 claims decided; seeds are added for never (at most 3)."


def _study(folder: Path, where: str, *words: str, **environment: str) -> int:
    flags = ("--plugin", "killer.py", "-cd", "studies", "-cn", "mine")
    return preflab(folder, *flags, *SMALL, f"hydra.sweep.dir={where}", *words, **environment)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.yaml").write_text(STUDY)
    (tmp_path / "killer.py").write_text(KILLER)
    return tmp_path


def test_no_seed_is_added_once_the_claims_are_decided(folder: Path) -> None:
    # at_most is 3, and the first look, at 2 seeds, decides the only claim that counts.
    assert _study(folder, "runs/b", "+study.seeds.claims=[sure]") == 0
    assert "2 seeds: 1 of 1 claims decided. No more seeds." in (folder / "log.txt").read_text()
    assert len(read_ledger(folder / "runs/b")) == 2
    sure, never = json.loads((folder / "runs/b/summary.json").read_text())["claims"]
    assert (sure["holds"], never["holds"], sure["seeds"]) == ("fails", "undecided", [1, 2])
    low, high = sure["interval_for_looks"]
    assert low <= sure["interval"][0] < sure["interval"][1] <= high


@pytest.mark.reliability
def test_after_a_kill_a_study_looks_at_the_same_blocks(folder: Path) -> None:
    log = folder / "log.txt"
    assert _study(folder, "runs/a", KILL="1") == -signal.SIGKILL, log.read_text()[-3000:]
    assert log.read_text().count(LOOK) == 1
    assert not (folder / "runs/a/summary.json").exists()
    assert _study(folder, "runs/a") == 0, log.read_text()[-3000:]
    assert log.read_text().count(LOOK) == 2  # the same look, although seed 3 had begun
    ledger = read_ledger(folder / "runs/a")
    rows = [(row["job"], row["overrides"][-1], row["status"]) for row in ledger]
    assert sorted(rows) == [(0, "seed=1", "ok"), (1, "seed=2", "ok"), (2, "seed=3", "ok")]
    first = json.loads((folder / "runs/a/0/summary.json").read_text())
    assert first["computed"] == ["pretrain", "evaluation"]  # by the attempt before the kill
    sure, never = json.loads((folder / "runs/a/summary.json").read_text())["claims"]
    assert (sure["holds"], never["holds"], sure["seeds"]) == ("fails", "undecided", [1, 2, 3])
