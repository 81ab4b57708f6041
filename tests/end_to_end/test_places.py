"""Runs whose folders are those that Hydra's settings name: results are found there."""

from __future__ import annotations

import json
from pathlib import Path

from end_to_end.runs import preflab

SMALL = ("debug=fast", "artifacts.dir=store", "sft=none", "algorithm=none", "reward_model=none")
COMMAND = (*SMALL, "evaluation=none")


def test_a_run_goes_where_hydra_is_told(tmp_path: Path) -> None:
    words = (*COMMAND, "hydra.run.dir=mine", "hydra.output_subdir=about")
    for _ in range(2):  # the same command again takes what is there
        assert preflab(tmp_path, *words) == 0
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert {"manifest.json", "summary.json", "report.html", "about", "artifacts"} <= names
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "store", "log.txt"}
    assert "Made with debug=fast" in (tmp_path / "mine" / "report.md").read_text()
    assert preflab(tmp_path, *words, "seed=2") == 2
    assert "holds the run of another command" in (tmp_path / "log.txt").read_text()


def test_a_multirun_goes_where_hydra_is_told(tmp_path: Path) -> None:
    """Also deeper than the report looks by itself."""
    deep = "hydra.sweep.subdir=a/b/c/d/${hydra.job.override_dirname}"
    words = ("-m", *COMMAND, "hydra.sweep.dir=ours", deep, "seed=1,2")
    assert preflab(tmp_path, *words) == 0
    rows = [
        json.loads(line) for line in (tmp_path / "ours" / "ledger.jsonl").read_text().splitlines()
    ]
    assert [row["exit_code"] for row in rows] == [0, 0]
    for row in rows:
        assert (tmp_path / "ours" / row["folder"] / "summary.json").is_file()
    assert "No result" not in (tmp_path / "ours" / "report.md").read_text()
