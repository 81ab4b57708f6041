"""The files of a run and of a multirun: what is damaged is missing, never wrong."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.storage.run_folder import (
    LEDGER,
    MANIFEST,
    append_to_ledger,
    is_complete,
    is_running,
    new_folder,
    newest_model,
    read_ledger,
    read_manifest,
    running,
    stage_folder,
)


def line(job: int) -> Any:
    return {"job": job, "exit_code": 0}


def test_new_folders_differ_within_a_second(tmp_path: Path) -> None:
    assert len({new_folder(tmp_path) for _ in range(20)}) == 20


@pytest.mark.parametrize("text", ["", "{", "[]", '"complete"', "\xff"])
def test_a_damaged_manifest_is_none(tmp_path: Path, text: str) -> None:
    assert read_manifest(tmp_path) is None  # there is no file
    (tmp_path / MANIFEST).write_bytes(text.encode("latin-1"))
    assert read_manifest(tmp_path) is None
    assert not is_complete(tmp_path)


def test_a_run_is_complete_when_its_manifest_says_so(tmp_path: Path) -> None:
    for status in ("running", "failed", "complete"):
        (tmp_path / MANIFEST).write_text(json.dumps({"status": status}))
        assert is_complete(tmp_path) == (status == "complete")


def test_the_ledger_has_its_lines_in_the_order_of_writing(tmp_path: Path) -> None:
    assert read_ledger(tmp_path) == []
    for job in (2, 0, 1):
        append_to_ledger(tmp_path, line(job))
    assert [row["job"] for row in read_ledger(tmp_path)] == [2, 0, 1]


def test_a_cut_line_gets_an_end_and_is_left_out(tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_text('{"job": 0}\n{"jo')
    append_to_ledger(tmp_path, line(2))
    assert (tmp_path / LEDGER).read_text().count("\n") == 3
    assert [row["job"] for row in read_ledger(tmp_path)] == [0, 2]


def test_a_disk_that_refuses_a_line_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(handle: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    append_to_ledger(tmp_path, line(7))
    message = capsys.readouterr().err
    assert "No space left on device: it lacks the line" in message
    assert '"job": 7' in message


def _run(folder: Path, *stages: tuple[str, str], links: bool = True) -> None:
    """A run folder with finished stages (name, role of the policy made), each with an artifact."""
    rows = []
    for name, makes in stages:
        artifact = folder.parent / "artifacts" / name
        (artifact / "model").mkdir(parents=True)
        row = {"stage": name, "group": name, "name": "x", "makes": makes, "recipe": "r", "seed": 1}
        row |= {"artifact": str(artifact), "reused": False, "seconds": 0.0, "cost": {}}
        rows.append(row)
        if links:
            (folder / "artifacts").mkdir(parents=True, exist_ok=True)
            (folder / "artifacts" / name).symlink_to(artifact)
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_text(json.dumps({"stages": rows}))


def test_a_run_begins_while_somebody_looks_whether_it_is_running(tmp_path: Path) -> None:
    looking = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)  # as `is_running` holds it
    ends = threading.Timer(0.1, os.close, [looking])
    ends.start()
    with running(tmp_path):
        ends.join()
        assert is_running(tmp_path)
        with pytest.raises(UserError, match="Another process is running"), running(tmp_path):
            pass
    assert not is_running(tmp_path)


@pytest.mark.parametrize("links", [True, False])
def test_what_a_run_made(tmp_path: Path, links: bool) -> None:
    run, kept = tmp_path / "run", tmp_path / "artifacts"
    _run(run, ("sft", "sft"), ("reward_model", ""), ("algorithm", "result"), links=links)
    assert stage_folder(run, "reward_model") == kept / "reward_model"
    assert stage_folder(run, "evaluation") is None
    assert newest_model(run) == kept / "algorithm" / "model"
    # Best-of-n makes no policy of its own: the newest is the one that it samples from.
    (kept / "algorithm" / "model").rmdir()
    assert newest_model(run) == kept / "sft" / "model"


@pytest.mark.parametrize("manifest", ["{}", '{"stages": 3}', '{"stages": [{"stage": "sft"}, 1]}'])
def test_what_another_tool_wrote_is_no_run(tmp_path: Path, manifest: str) -> None:
    (tmp_path / MANIFEST).write_text(manifest)
    assert stage_folder(tmp_path, "sft") is None
    assert newest_model(tmp_path) is None
