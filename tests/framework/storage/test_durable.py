"""Writing that is whole or absent, digests, and refusals of the disk."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from preflab import StorageError
from preflab.storage import durable


def test_cached_digest_reads_a_file_again_only_if_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"first")
    assert durable.cached_digest(file) == hashlib.sha256(b"first").hexdigest()
    status = file.stat()
    file.write_bytes(b"other")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # as if nothing had been written
    assert durable.cached_digest(file) == hashlib.sha256(b"first").hexdigest()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert durable.cached_digest(file) == hashlib.sha256(b"other").hexdigest()
    file.write_bytes(b"longer than before")
    assert durable.cached_digest(file) == hashlib.sha256(b"longer than before").hexdigest()


def test_sealed_json_is_read_back_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "artifact.json"
    durable.write_sealed(file, {"b": 1, "a": [0.5, None]})
    assert durable.read_sealed(file) == {"b": 1, "a": [0.5, None]}
    text = file.read_text()
    for damaged in (text.replace("0.5", "0.6"), text[:-3], "", "[]", text.replace("\n", "\n\n")):
        file.write_text(damaged)
        with pytest.raises(StorageError, match="does not match the digest in it"):
            durable.read_sealed(file)


def test_a_number_that_json_cannot_hold_is_null() -> None:
    values = [1, 0.5, float("nan"), float("inf"), None]
    assert [durable.json_number(v) for v in values] == [1.0, 0.5, None, None, None]


def test_what_bore_the_name_is_replaced(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "is").write_text(name)
    durable.publish(tmp_path / "new", tmp_path / "old", tmp_path / "aside")
    assert (tmp_path / "old" / "is").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old"]


def test_a_refusal_of_the_disk_is_one_error_and_others_pass(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"while writing it: No space left .*12 bytes needed"),
        durable.writing("it", tmp_path, needed=12),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", "f")
    with pytest.raises(FileNotFoundError), durable.writing("it", tmp_path):
        raise FileNotFoundError(errno.ENOENT, "No such file", "f")


def test_a_folder_that_is_missing_is_not_made_to_see_whether_it_could_be(tmp_path: Path) -> None:
    """What is said of it is said of the nearest folder above it."""
    assert durable.unwritable(tmp_path / "a" / "b") == ""
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    assert durable.unwritable(tmp_path / "file") == f"{tmp_path / 'file'} is, or lies in, a file"
    assert "lies in, a file" in durable.unwritable(tmp_path / "file" / "a" / "b")
    assert durable.unwritable(tmp_path / "a" / ("x" * 300)) == "a part of the path is too long"
    assert durable.unwritable(Path("/proc/nothing/here")) != ""
