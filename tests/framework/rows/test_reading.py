"""Files to rows: every row has its place, and what cannot be read is named."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from framework.rows.test_streams import packed_by
from preflab import UserError
from preflab.rows import Row, fields, read_rows, read_table

ROWS = [{"text": "one"}, {"text": "two\nlines"}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def _read(path: Path, data: bytes) -> list[Row]:
    path.write_bytes(data)
    return list(read_rows(path))


def _values(rows: list[Row]) -> list[dict[str, Any]]:
    assert not [row.problem for row in rows if row.problem]
    return [dict(row.values) for row in rows]


def test_formats_give_the_same_rows(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert _values(list(read_rows(tmp_path / "a.parquet"))) == ROWS
    assert _values(_read(tmp_path / "a.jsonl", LINES)) == ROWS
    assert _values(_read(tmp_path / "a.ndjson", LINES)) == ROWS
    assert _values(_read(tmp_path / "a.jl", LINES)) == ROWS
    assert _values(_read(tmp_path / "a.json", json.dumps(ROWS).encode())) == ROWS
    assert _values(_read(tmp_path / "a.txt", b"one\r\n\n \n\ntwo\nlines")) == ROWS
    assert _values(_read(tmp_path / "a.csv", b'text\none\n\n"two\nlines"\n')) == ROWS
    assert _values(_read(tmp_path / "a.tsv", b'text\none\n\n"two\nlines"\n')) == ROWS


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_compressed_files_give_the_same_rows(tmp_path: Path, ending: str) -> None:
    """Also where two are written one after the other, and where the ending does not say it."""
    for name, data in (
        ("A.JSONL", LINES),
        ("b.json", json.dumps(ROWS).encode()),
        ("c.csv", b'text\none\n"two\nlines"\n'),
        ("d.txt", b"one\n\ntwo\nlines"),
    ):
        half = len(data) // 2
        packed = packed_by(ending, data[:half]) + packed_by(ending, data[half:])
        assert _values(_read(tmp_path / f"{name}{ending.upper()}", packed)) == ROWS
        assert _values(_read(tmp_path / name, packed)) == ROWS


def test_rows_know_their_places(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n\n[1]\n{"a": 2}')
    first, second, third = read_rows(tmp_path / "a.jsonl")
    assert [row.place for row in (first, second, third)] == [
        f"{tmp_path}/a.jsonl:{line}" for line in (1, 3, 4)
    ]
    assert str(second.problem) == "row: is a list but must be an object with named columns"
    (text,) = _read(tmp_path / "a.txt", b"\n\nfirst\nsecond\n\n")
    assert text.place == f"{tmp_path}/a.txt:3"
    quoted, short = _read(tmp_path / "a.csv", b'a,b\n"1\n2",3\n4\n')
    assert (quoted.place, short.place) == (f"{tmp_path}/a.csv:3", f"{tmp_path}/a.csv:4")
    assert str(short.problem) == "row: has 1 values, the header has 2 columns"


def test_byte_order_mark_line_ends_and_line_separators(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbf{"text": "a\xe2\x80\xa8b"}\r\n\r\n{"text": "c"}\r\n'
    assert _values(_read(tmp_path / "w.jsonl", data)) == [{"text": "a\u2028b"}, {"text": "c"}]


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.jsonl", b"", "the file is empty"),
        ("a.jsonl", b"\xff\xfe{\x00}\x00", "UTF-16"),
        ("a.jsonl.gz", b"not gzip", "gzip: the file is damaged"),
        (
            "a.jsonl.gz",
            gzip.compress(LINES * 999, mtime=0)[:-20],
            "gzip: the file is damaged or cut off",
        ),
        ("a.xlsx", b"text\na\n", "the ending '.xlsx' is not known. Allowed: .csv, .jl, .json, "),
        ("a.gz", LINES, "the ending '.gz' is not known"),
        ("a.parquet.gz", LINES, "the ending '.gz' is not known"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(str(tmp_path / name))}.*({expected})"):
        _read(tmp_path / name, data)


def test_bad_bytes_in_a_paragraph_are_one_bad_row(tmp_path: Path) -> None:
    good, bad = _read(tmp_path / "a.txt", b"good\n\nbad \xff")
    assert good.problem is None
    assert bad.place == f"{tmp_path}/a.txt:3"
    assert str(bad.problem).startswith("UTF-8: byte 0xff at position 4")


def test_a_table_is_read_up_to_its_first_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    assert list(read_table(path, lambda row: fields.text(row, "text"))) == ["one", "two\nlines"]
    path.write_bytes(LINES + b'{"text": ""}\nx\n')
    with pytest.raises(UserError, match=r"a\.jsonl:3: text: is empty"):
        list(read_table(path, lambda row: fields.text(row, "text")))
    with pytest.raises(UserError, match=r"a\.jsonl:4: JSON: Expecting value"):
        list(read_table(path, lambda row: row))


def test_the_parts_of_a_folder_are_one_file(tmp_path: Path) -> None:
    """The rows of train-00000-of-00002 before those of train-00001-of-00002, each with its split
    and the place in its own file; a row whose own split says otherwise is bad."""
    data = tmp_path / "data"
    data.mkdir()
    for name, split in (("train", "train"), ("test", "test")):
        for i in (1, 0):
            row = json.dumps({"text": f"{split} {i}"}) + "\n"
            (data / f"{name}-{i:05d}-of-00002.jsonl").write_text(row)
    rows = list(read_rows(tmp_path))
    assert [row["text"] for row in _values(rows)] == ["test 0", "test 1", "train 0", "train 1"]
    assert [row["split"] for row in _values(rows)] == ["test", "test", "train", "train"]
    assert rows[2].place == f"{data}/train-00000-of-00002.jsonl:1"
    lines = [
        '{"text": "a", "split": "valid"}',
        '{"text": "b", "split": null}',
        '{"split": "train"}',
    ]
    (data / "validation.jsonl").write_text("\n".join(lines))
    *_, same, none, other = read_rows(tmp_path)
    assert (same.values["split"], none.values["split"]) == ("validation", "validation")
    assert str(other.problem) == "split: is train in the row, but its place says validation"


def test_one_shard_of_several_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r-00000-of-00003.jsonl"
    path.write_text('{"text": "a"}\n')
    with pytest.raises(UserError, match="r-00001-of-00003, r-00002-of-00003 missing"):
        list(read_rows(path))
