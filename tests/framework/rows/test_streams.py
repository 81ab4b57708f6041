"""Files as bytes and lines: unpacking, digests on the way, and what is no text."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import re
from pathlib import Path

import pytest

from preflab import UserError
from preflab.rows import path_digest, streams

TEXT = b"one\r\ntwo\n\xe2\x80\xa8three"


def packed_by(ending: str, data: bytes) -> bytes:
    """The data as a file of this ending holds it."""
    import pyarrow

    if ending == ".zst":
        return bytes(pyarrow.compress(data, codec="zstd", asbytes=True))
    if ending == ".xz":
        return lzma.compress(data)
    return gzip.compress(data) if ending == ".gz" else bz2.compress(data)


def _nothing(count: int) -> None:
    pass


@pytest.mark.parametrize("ending", ["", *streams.COMPRESSIONS])
def test_lines_and_the_digest_in_one_reading(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest is that of the packed bytes, and nobody opens the file again to know it."""
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(packed_by(ending, TEXT) if ending else TEXT)
    read: list[int] = []
    assert list(streams.lines(path, read.append)) == [
        (1, b"one", False, None),
        (2, b"two", False, None),
        (3, "\u2028three".encode(), True, None),
    ]
    assert sum(read) == path.stat().st_size
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert path_digest(path) == expected


def test_a_file_that_was_not_read_to_its_end_has_no_digest_yet(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x\n" * streams.BLOCK)
    with streams.opened(path, _nothing) as stream:
        assert stream.read(4) == b"x\nx\n"
    assert path_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_changes_while_it_is_read_has_the_digest_of_what_it_becomes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"before")
    with streams.opened(path, _nothing) as stream:
        path.write_bytes(b"after it was opened")
        stream.read()
    path.write_bytes(b"afterwards")
    assert path_digest(path) == hashlib.sha256(b"afterwards").hexdigest()


def test_a_line_that_is_too_long_is_bad_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LONGEST_LINE", 10)
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 9 + b"\n" + b"y" * 100 + b"\nlast")
    first, long, last = streams.lines(path, _nothing)
    assert (first.data, last.data, last.number) == (b"x" * 9, b"last", 3)
    assert str(long.problem).startswith("row: is longer than")
    path.write_bytes(b"x\n" + b"y" * 1000)
    with pytest.raises(UserError, match=r"a\.txt:2: row: is longer .*and does not end"):
        list(streams.lines(path, _nothing))


@pytest.mark.parametrize(
    "name,data,expected",
    [
        ("a.jsonl", b"", "the file is empty"),
        ("a.jsonl", "{}".encode("utf-16"), ":1: is UTF-16, or no text. Save it as UTF-8.*iconv"),
        ("a.jsonl", "{}\n{}".encode("utf-16-le"), ":1: is UTF-16"),
        ("a.csv", "abc,d".encode("utf-16-be"), ":1: is UTF-16"),
        ("a.jsonl.gz", gzip.compress("{}".encode("utf-16"), mtime=0), ":1: is UTF-16"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS.*git lfs pull"),
        ("a.jsonl.gz", b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
        ("a.csv", b"PK\x03\x04....", "ZIP archive or an Excel workbook"),
        ("a.jsonl", b"PAR1\x15\x04", r"is Parquet. Name it \.parquet"),
        ("a.jsonl", b"\n<!DOCTYPE html>\n", "is a web page"),
        ("a.jsonl.gz", b"not gzip", ":1: gzip: the file is damaged"),
        (
            "a.jsonl.gz",
            gzip.compress(TEXT * 9999, mtime=0)[:-20],
            "gzip: the file is damaged or cut off",
        ),
        ("a.jsonl.bz2", b"BZh9 not really", ":1: bz2: the file is damaged"),
        ("a.jsonl.xz", lzma.compress(TEXT * 9999)[:-20], "xz: the file is damaged or cut off"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd not really", "zstd: the file is damaged"),
    ],
)
def test_a_file_that_is_no_text(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=f"^{re.escape(str(tmp_path / name))}.*({expected})"):
        list(streams.lines(tmp_path / name, _nothing))


def test_a_web_page_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"<html>")
    assert [line.data for line in streams.lines(tmp_path / "a.txt", _nothing)] == [b"<html>"]
