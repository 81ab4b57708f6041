"""Work that one process of a machine does for the others: here children of the test."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest

from preflab.storage import once

SCRIPT = """
import sys
from pathlib import Path
from preflab.storage import durable
read = durable.hashlib.file_digest

def slow(stream, name):
    with open("read", "a") as log:
        log.write("x")
    while Path("hold").exists():
        pass
    return read(stream, name)

durable.LARGE = 4
durable.hashlib.file_digest = slow
print(durable.cached_digest(Path("weights")))
"""


def start(folder: Path, rank: int) -> subprocess.Popen[str]:
    shared = {"LOCAL_WORLD_SIZE": "2", "MASTER_PORT": "5", "TMPDIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=folder,
        env={**os.environ, **shared, "LOCAL_RANK": str(rank)},
        stdout=subprocess.PIPE,
        text=True,
    )


def reads(folder: Path) -> int:
    log = folder / "read"
    return len(log.read_text()) if log.exists() else 0


def wait_for(folder: Path, count: int) -> None:
    limit = time.monotonic() + 60
    while reads(folder) < count:
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_two_processes_read_a_large_file_once_and_one_that_is_killed_holds_up_nobody(
    tmp_path: Path,
) -> None:
    """sha256 of b"numbers", by the standard library, is what both say."""
    (tmp_path / "weights").write_bytes(b"numbers")
    (tmp_path / "hold").touch()
    first = start(tmp_path, 0)
    wait_for(tmp_path, 1)
    others = [start(tmp_path, rank) for rank in (0, 1)]
    time.sleep(0.5)
    assert reads(tmp_path) == 1
    first.send_signal(signal.SIGKILL)
    first.communicate()
    wait_for(tmp_path, 2)
    (tmp_path / "hold").unlink()
    expected = hashlib.sha256(b"numbers").hexdigest()
    assert [process.communicate()[0].strip() for process in others] == [expected] * 2
    assert reads(tmp_path) == 2


def test_one_process_keeps_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert [once.once_here("key", partial(int, value)) for value in (1, 2)] == [1, 2]
    assert not list(tmp_path.iterdir())


def test_what_was_kept_is_read_unless_it_is_damaged_and_goes_with_the_job(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert [once.once_here("key", partial(list, value)) for value in "ab"] == [["a"], ["a"]]
    assert once.once_here("other", lambda: ["b"]) == ["b"]
    (folder,) = tmp_path.iterdir()
    for file in folder.iterdir():
        file.write_text(json.dumps(["cut"])[:-2])
    assert once.once_here("key", lambda: ["c"]) == ["c"]
    monkeypatch.setenv("LOCAL_RANK", "1")
    once.forget()
    assert list(tmp_path.iterdir()) == [folder]
    monkeypatch.setenv("LOCAL_RANK", "0")
    once.forget()
    assert not list(tmp_path.iterdir())


def test_without_a_place_to_write_each_computes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert [once.once_here("key", partial(int, value)) for value in (1, 2)] == [1, 2]
