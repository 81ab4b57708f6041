"""One job: several processes that all end with 0 before the run is complete are no success."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preflab import PreflabError
from preflab.composing.compose import compose
from preflab.jobs import job, processes
from preflab.jobs.places import Places
from preflab.planning.reading import job_of
from preflab.storage.run_folder import append_to_ledger, read_ledger


def test_exit_code_0_without_a_complete_run_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "start", lambda processes, command: 0)
    two = job_of(compose(["runtime.processes=2"], with_hydra=True))
    with pytest.raises(PreflabError, match="exit code 0 before it had finished"):
        job._in_processes(two, tmp_path)
    (tmp_path / "manifest.json").write_text('{"status": "complete"}')
    job._in_processes(two, tmp_path)


def test_jobs_without_a_line_get_one(tmp_path: Path) -> None:
    line: Any = {"job": 1, "exit_code": 0, "folder": "b"}
    append_to_ledger(tmp_path, line)
    where = Places(tmp_path, tuple(tmp_path / name for name in ("a", "b", "x/c")))
    for _ in range(2):
        job.add_missing_lines(where, [["seed=1"], ["seed=2"], ["seed=3"]])
        rows = [
            (row["folder"], row["exit_code"], row.get("status")) for row in read_ledger(tmp_path)
        ]
        assert rows == [("b", 0, None), ("a", 1, "not started"), ("x/c", 1, "not started")]
