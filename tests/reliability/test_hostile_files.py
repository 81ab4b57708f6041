"""Files of records that try to fill the memory, or are damaged: every row is kept, or rejected
with its place."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
import warnings
from pathlib import Path

import pytest

from preflab import UserError
from preflab.rows import streams
from preflab_builtin.files.config import FilesConfig, OnBadRow
from preflab_builtin.files.source import FileSource, Parsed, parse_file

ROWS = [
    json.dumps({"prompt": f"question {i}", "completion": f"answer {i}"}).encode() for i in range(8)
]


def test_a_gzip_bomb_is_refused_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LONGEST_LINE", 1 << 20)
    bomb = tmp_path / "bomb.jsonl.gz"
    # One line of 64 MiB in about 64 KiB.
    bomb.write_bytes(gzip.compress(ROWS[0] + b"\n" + b"0" * (64 << 20)))
    assert bomb.stat().st_size < 1 << 17
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"bomb\.jsonl\.gz:2: row: is longer than 1 MiB"):
            FileSource(FilesConfig(demonstrations=str(bomb)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The line limit, its copies and the decompressor's window; the bomb is 64 MiB.
    assert peak < 8 << 20


@pytest.mark.parametrize("size,fits", [(100, True), (101, False)])
def test_the_limit_counts_the_bytes_of_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, fits: bool
) -> None:
    monkeypatch.setattr(streams, "LONGEST_LINE", 100)
    frame = len(json.dumps({"prompt": ""}))
    path = tmp_path / f"{size}.jsonl"
    # With the newline: size bytes.
    path.write_bytes(json.dumps({"prompt": "x" * (size - frame - 1)}).encode() + b"\n")
    if fits:
        assert len(FileSource(FilesConfig(prompts=str(path))).records("prompts")) == 1
    else:
        with pytest.raises(UserError, match=r"101\.jsonl:1: row: is longer"):
            FileSource(FilesConfig(prompts=str(path)))


@pytest.mark.parametrize("seed", range(300))
def test_damaged_bytes_are_counted_or_named(tmp_path: Path, seed: int) -> None:
    """A file of eight rows with one to four damages: kept + rejected = rows, or one error that
    names the file."""
    draw = random.Random(seed)
    data = bytearray(b"\n".join(ROWS) + b"\n")
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data))
        junk = draw.choice(
            [
                b"",
                b"\0",
                b"\xff",
                b"\xed\xa0\x80",
                b"\r",
                b"\n",
                b"[" * 5000,
                b"9" * 400,
                b"1e999",
                b"NaN",
                b"\\ud800",
                b'"',
                b"{",
            ]
        )
        data[at : at + draw.randint(0, 6)] = junk
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    lines = sum(bool(line.removesuffix(b"\r").strip(b" \t")) for line in bytes(data).split(b"\n"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            settings = FilesConfig(on_bad_row=OnBadRow.skip).row_settings("demonstrations")
            parsed = parse_file(path, settings)
    except UserError as error:
        message = str(error)
    else:
        message = ""
        _check_counts(parsed, path, lines)
    assert not message or str(path) in message


def _check_counts(parsed: Parsed, path: Path, lines: int) -> None:
    assert parsed.total == lines
    assert len(parsed.records) + len(parsed.rejected) == lines  # one record a row in this shape
    assert all(reason.startswith(f"{path}:") for reason in parsed.rejected)
