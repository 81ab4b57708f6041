"""Folders that no run answers from; tests/end_to_end/test_chat.py has runs that do."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from preflab.engine.answering import AnsweringRun
from preflab.engine.opened import conversation
from preflab.errors import UserError
from preflab.records import Message


def test_folders_that_are_no_finished_runs_are_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no folder .*nothing: give the folder of a run"):
        AnsweringRun(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"is not the folder of a run: it has no manifest\.json"):
        AnsweringRun(tmp_path)
    job = tmp_path / "study" / "0"
    job.mkdir(parents=True)
    (job / "manifest.json").write_text(json.dumps({"status": "stopped", "stages": []}))
    (job.parent / "ledger.jsonl").touch()
    with pytest.raises(UserError, match=r"study is a multirun, not one run: .*example .*study/0"):
        AnsweringRun(job.parent)
    with pytest.raises(UserError, match=r"says: stopped.*Finish it with: preflab rerun .*study/0"):
        AnsweringRun(job)


def test_a_run_that_is_running_is_waited_for(tmp_path: Path) -> None:
    """As long as its process lasts, which holds a lock of the folder; killed, it is finished."""
    (tmp_path / "manifest.json").write_text(json.dumps({"status": "running", "stages": []}))
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(UserError, match="is running: wait until it has finished"):
        AnsweringRun(tmp_path)
    os.close(handle)
    with pytest.raises(UserError, match=r"says: running\). Finish it with: preflab rerun"):
        AnsweringRun(tmp_path)


def test_a_conversation_is_a_prompt_with_its_transcript() -> None:
    turns = (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Bye"))
    prompt = conversation(turns)
    assert prompt.messages == turns
    assert prompt.text == "User: Hi\n\nAssistant: Hello\n\nUser: Bye"


def test_a_config_that_reads_the_environment_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"status": "complete", "stages": []}))
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("arm: ${oc.env:HOME}\n")
    with pytest.raises(UserError, match="The config calls a resolver: arm"):
        AnsweringRun(tmp_path)
