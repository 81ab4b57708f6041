"""A search through the real engine, killed and started again: the same trials, none made twice."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from end_to_end.runs import preflab
from preflab.storage.run_folder import read_ledger

pytestmark = pytest.mark.reliability
KILLER = """
import os
from pathlib import Path
from preflab import hookimpl


@hookimpl
def preflab_run_started(folder):
    if Path(folder).name == "3" and os.environ.get("KILL"):
        os.kill(os.getppid(), 9)
"""
WORDS = (
    "-m sft=none algorithm=none reward_model=none samples=none comparisons=none debug=fast "
    "evaluation.evaluators.reward=null evaluation.evaluators.reward_accuracy=null "
    "runtime.threads=1 study.search={objective:document_loss/all,more:false,trials:4,block:2}"
).split()
SPACE = "pretrain.optimizer.lr=tag(log, interval(1e-4,1e-1))"


def _search(folder: Path, name: str, **environment: str) -> int:
    flags = ("--plugin", "killer.py")
    return preflab(folder, *flags, *WORDS, SPACE, f"hydra.sweep.dir={name}", **environment)


def test_a_search_that_was_killed_has_the_same_trials(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra optuna is not installed")
    (tmp_path / "killer.py").write_text(KILLER)
    log = tmp_path / "log.txt"
    assert _search(tmp_path, "runs/a", KILL="1") == -signal.SIGKILL, log.read_text()[-3000:]
    asked = json.loads((tmp_path / "runs/a/search.json").read_text())["trials"]
    assert [trial["state"] for trial in asked] == ["done", "done", "asked", "asked"]
    # In another folder, whose artifacts are the same: the proposals follow from the results.
    for name in ("runs/a", "runs/b"):
        assert _search(tmp_path, name) == 0, log.read_text()[-3000:]
        facts = json.loads((tmp_path / name / "search.json").read_text())
        assert [trial["values"] for trial in facts["trials"]] == [t["values"] for t in asked]
        assert [trial["state"] for trial in facts["trials"]] == ["done"] * 4
        assert facts["trials"][0]["objective"] == asked[0]["objective"]
        rows = read_ledger(tmp_path / name)
        assert sorted({row["job"] for row in rows if row["status"] == "ok"}) == [0, 1, 2, 3]
    for number in range(4):
        made = json.loads((tmp_path / f"runs/b/{number}/summary.json").read_text())
        assert made["computed"] == []
    page = (tmp_path / "runs/b/report.html").read_text()
    assert "Trials for document_loss/all" in page
    assert "is optimistic" in page
