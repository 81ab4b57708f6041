"""Runs on the disk: found, called by name, and what has become of them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.storage import runs
from preflab.storage.run_folder import note_jobs, read_jobs, running
from preflab.storage.runs import (
    choices,
    composed,
    folder_of,
    is_run,
    manifest_of,
    multirun_of,
    natural,
    no_run,
    process_mark,
    runs_below,
    state_of,
)


def manifest(**facts: Any) -> dict[str, Any]:
    return {"status": "complete", "stages": [], "host": platform.node(), "process": "", **facts}


def write(folder: Path, **facts: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest(**facts)))
    return folder


def test_a_mark_names_one_process_for_good() -> None:
    """A process with the id of one that has ended has another mark, since it began later."""
    mark = process_mark(os.getpid())
    assert mark.split()[-2] == str(os.getpid())
    assert mark == process_mark(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process_mark(child.pid) not in ("", mark)
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_mark(child.pid) == ""  # it has ended, though it still has its id
    child.wait()
    assert process_mark(child.pid) == ""  # 0 processes have this id now


def test_a_run_is_running_only_while_its_process_lasts(tmp_path: Path) -> None:
    begun = manifest(status="running", process="this-host pid:[1] 1 1")
    assert state_of(tmp_path, begun) == "killed"
    with running(tmp_path):
        assert state_of(tmp_path, begun) == "running"
    assert state_of(tmp_path, begun) == "killed"
    assert state_of(tmp_path, begun | {"host": "elsewhere"}) == "unknown"
    assert state_of(tmp_path, manifest(status="stopped")) == "stopped"


def test_on_a_disk_without_locks_the_mark_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "is_running", lambda folder: False)
    mine = process_mark(os.getpid())
    began_before = f"{mine.rpartition(' ')[0]} 1"  # the same id, but of an earlier process
    assert state_of(tmp_path, manifest(status="running", process=mine)) == "running"
    assert state_of(tmp_path, manifest(status="running", process=began_before)) == "killed"


def test_runs_are_found_in_the_order_of_numbers(tmp_path: Path) -> None:
    """In runs/, jobs of multiruns among them; not among artifacts, and each once."""
    for name in ("config/b", "config/a", "study/x/10", "study/x/2"):
        write(tmp_path / name)
    write(tmp_path / "study" / "y" / "3" / "deep" / "er")
    (tmp_path / "study" / "y" / "ledger.jsonl").write_text('{"job": 3, "folder": "3/deep/er"}\n')
    write(tmp_path / "config" / "a" / "artifacts" / "sft")
    (tmp_path / "config" / "broken").mkdir()
    (tmp_path / "config" / "broken" / "manifest.json").write_text("{")
    found = [str(run.folder.relative_to(tmp_path)) for run in runs_below(tmp_path)]
    assert found == ["config/a", "config/b", "study/x/2", "study/x/10", "study/y/3/deep/er"]
    assert sorted([Path("10"), Path("2")], key=natural) == [Path("2"), Path("10")]


def test_hours_are_those_of_the_runs_own_stages(tmp_path: Path) -> None:
    write(tmp_path, stages=[{"seconds": 1800.0}, {"seconds": 5400.0}])
    (run,) = runs_below(tmp_path)
    assert run.hours == 2.0  # (1800 + 5400) / 3600
    assert run.measures == {}
    (tmp_path / "summary.json").write_text('{"evaluation": {"measures": {"m": {"value": 1.0}}}}')
    assert run.measures == {"m": {"value": 1.0}}


def test_hours_are_those_of_all_attempts(tmp_path: Path) -> None:
    write(tmp_path, stages=[{"seconds": 1800.0}], seconds=5400.0)
    assert runs_below(tmp_path)[0].hours == 1.5


def test_later_blocks_are_noted_after_the_jobs_before_them(tmp_path: Path) -> None:
    for _ in range(2):  # and a study that is given again notes the same
        note_jobs(tmp_path, "", 0, [["a"], ["b"]])
        note_jobs(tmp_path, "", 2, [["c"]])
        assert read_jobs(tmp_path) == [["a"], ["b"], ["c"]]


def test_a_run_is_called_by_path_name_or_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("runs/config/20261129-000000-abcd"), name="mine")
    write(Path("runs/study/wide/0"))
    Path("runs/study/wide/ledger.jsonl").write_text("")
    for word in ("mine", "20261129-000000-abcd", "runs/config/20261129-000000-abcd"):
        assert folder_of(word) == Path("runs/config/20261129-000000-abcd")
    assert folder_of("wide") == Path("runs/study/wide")
    assert is_run(Path("runs/study/wide"))
    with pytest.raises(UserError, match="Did you mean 'wide'"):
        folder_of("wade")
    with pytest.raises(UserError, match="is not the folder of a run"):
        folder_of("runs")
    write(Path("runs/other/mine"))
    with pytest.raises(UserError, match=r"2 runs are called so: runs/config/2026.*runs/other/mine"):
        folder_of("mine")


def test_a_job_is_called_by_the_name_of_its_multirun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"nor a name below runs/. No run is below runs/.$"):
        folder_of("kl1/0")
    for job in ("0", "1"):
        write(Path("runs/study/kl1") / job)
    note_jobs(Path("runs/study/kl1"), "", 0, [["seed=1"], ["seed=2"]])
    assert folder_of("kl1/1") == folder_of("study/kl1/1") == Path("runs/study/kl1/1")
    assert folder_of("study/kl1") == Path("runs/study/kl1")  # before its first job has ended
    with pytest.raises(UserError, match=r"runs/study/kl1 has no job '7' .* Allowed: 0, 1"):
        folder_of("kl1/7")
    write(Path("runs/other/kl1/1"))
    note_jobs(Path("runs/other/kl1"), "", 0, [[], []])
    with pytest.raises(UserError, match="kl1/1: 2 runs are called so"):
        folder_of("kl1/1")


@pytest.mark.parametrize("own", ["[1]", '{"jobs": 3}', "no JSON"])
def test_a_file_of_the_users_makes_no_multirun(tmp_path: Path, own: str) -> None:
    """The folder of a project is not the multirun of the runs below it, whatever jobs.json says."""
    write(tmp_path / "runs/config/mine")
    (tmp_path / "jobs.json").write_text(own)
    assert multirun_of(tmp_path / "runs/config/mine") is None
    assert not is_run(tmp_path)


def test_why_a_folder_is_not_that_of_one_run(tmp_path: Path) -> None:
    assert no_run(tmp_path / "x") == (
        f"There is no folder {tmp_path / 'x'}: give the folder of a run, or its name."
    )
    jobs = tmp_path / "runs" / "study"
    jobs.mkdir(parents=True)
    (jobs / "ledger.jsonl").touch()
    assert no_run(jobs) == f"{jobs} is a multirun, not one run: none of its jobs has started."
    for name in ("10", "9"):
        write(jobs / name)
    first = f"give one run, for example {jobs / '9'}."
    assert no_run(jobs) == f"{jobs} is a multirun, not one run: {first}"
    above = jobs.parent
    assert no_run(above).endswith(f"that can be read. It holds runs: {first}")
    assert multirun_of(jobs / "9") == jobs
    assert multirun_of(jobs) is None
    with pytest.raises(UserError, match="is a multirun"):
        manifest_of(jobs)
    assert manifest_of(jobs / "9")["status"] == "complete"


def test_what_a_run_was_composed_from(tmp_path: Path) -> None:
    assert choices(tmp_path) == {}
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "hydra.yaml").write_text("hydra: {runtime: {choices: {sft: null}}}")
    assert choices(tmp_path) == {"sft": None}
    (tmp_path / ".hydra" / "hydra.yaml").write_text("hydra: [")
    assert choices(tmp_path) == {}


def test_a_config_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    assert composed(tmp_path) == {}
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("a: {b: 1")
    assert composed(tmp_path) == {}
    (tmp_path / ".hydra" / "config.yaml").write_text("a: {b: '${c}'}")
    assert composed(tmp_path) == {"a": {"b": "${c}"}}
