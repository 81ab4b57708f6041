"""Files to rows: every row has its place, and what cannot be read is named."""

from __future__ import annotations

import gzip
import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

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
    assert _values(_read(tmp_path / "A.JSONL.GZ", gzip.compress(LINES))) == ROWS
    assert _values(_read(tmp_path / "a.json", json.dumps(ROWS).encode())) == ROWS
    assert _values(_read(tmp_path / "a.txt", b"one\r\n\n \n\ntwo\nlines")) == ROWS
    assert _values(_read(tmp_path / "a.csv", b'text\none\n\n"two\nlines"\n')) == ROWS


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
        ("a.jsonl.gz", gzip.compress(LINES * 999)[:-20], "gzip: the file is damaged or cut off"),
        ("a.json", b"[]", "the list is empty"),
        ("a.json", b'{"text": "a"}', "must hold a list of objects"),
        ("a.json", b'[{"text": "a"}', "JSON: .*cut off"),
        ("a.json", b'[{"text": "a", "x": NaN}]\n', "NaN is not"),
        ("a.json", b"\xff", "UTF-8"),
        ("a.tsv", b"text\na\n", "the ending '.tsv' is not known. Allowed: .csv, .json, "),
        ("a.csv", b"text,text\na,b\n", ":1: text: two columns have this name"),
        ("a.csv", b'text\n"a" b\n', ":2: CSV: "),
        ("a.csv", b"text\n\xff\n", ":2: UTF-8: byte 0xff"),
        ("a.parquet", b"PAR1 but not really", "Parquet: cannot be read"),
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


def test_a_parquet_column_of_two_names_is_refused(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["a", "a"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UserError, match="a: two columns have this name"):
        list(read_rows(tmp_path / "a.parquet"))


def test_a_table_is_read_up_to_its_first_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    assert list(read_table(path, lambda row: fields.text(row, "text"))) == ["one", "two\nlines"]
    path.write_bytes(LINES + b'{"text": ""}\nx\n')
    with pytest.raises(UserError, match=r"a\.jsonl:3: text: is empty"):
        list(read_table(path, lambda row: fields.text(row, "text")))
    with pytest.raises(UserError, match=r"a\.jsonl:4: JSON: Expecting value"):
        list(read_table(path, lambda row: row))


def _saved(monkeypatch: pytest.MonkeyPatch, folder: Path, marker: str, loaded: object) -> None:
    """A folder that looks saved, and a `datasets` that reads it: only the call and the mapping are
    ours to test."""
    folder.mkdir()
    (folder / marker).write_text("{}")
    module = types.ModuleType("datasets")
    module.load_from_disk = {str(folder): loaded}.__getitem__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_a_saved_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _saved(monkeypatch, tmp_path / "set", "dataset_info.json", ROWS)
    rows = list(read_rows(tmp_path / "set"))
    assert _values(rows) == ROWS
    assert [row.place for row in rows] == [f"{tmp_path}/set:row {i}" for i in (1, 2)]


def test_splits_of_a_saved_dict_become_a_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"train": ROWS[:1], "test": ROWS[1:]}
    _saved(monkeypatch, tmp_path / "set", "dataset_dict.json", parts)
    first, second = read_rows(tmp_path / "set")
    assert dict(first.values) == {"split": "train", "text": "one"}
    assert (second.values["split"], second.place) == ("test", f"{tmp_path}/set/test:row 1")


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not one that datasets' save_to_disk wrote"):
        list(read_rows(tmp_path))


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [("pyarrow", "a.parquet", "parquet"), ("datasets", "folder", "datasets")],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str, extra: str
) -> None:
    file = tmp_path / name / "dataset_info.json" if name == "folder" else tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, module, None)  # an import of it fails
    expected = rf"needs {module}. Install it with: pip install 'preflab\[{extra}\]'"
    with pytest.raises(UserError, match=expected):
        list(read_rows(tmp_path / name))
