"""Parquet files, and folders that `datasets` saved."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from framework.rows.test_reading import ROWS, _values
from preflab import UserError
from preflab.rows import read_rows


def test_a_parquet_column_of_two_names_is_refused(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["a", "a"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UserError, match="a: two columns have this name"):
        list(read_rows(tmp_path / "a.parquet"))


def test_rows_come_in_order_over_many_batches(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"i": i, "messages": [{"role": "user", "content": str(i)}]} for i in range(3000)]
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=700
    )
    found = list(read_rows(tmp_path / "a.parquet"))
    assert _values(found) == rows
    assert found[2999].place == f"{tmp_path}/a.parquet:row 3000"


def test_a_value_that_cannot_be_read_is_a_bad_row(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 in a column of texts, and an object with a key twice."""
    import pyarrow
    import pyarrow.parquet

    texts = pyarrow.array([b"good", b"bad \xff", b"also good"], pyarrow.binary()).view("string")
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "a.parquet")
    first, second, third = read_rows(tmp_path / "a.parquet")
    assert (first.values, third.values) == ({"text": "good"}, {"text": "also good"})
    assert str(second.problem) == "text: is not valid UTF-8 (byte 4)"
    assert second.place == f"{tmp_path}/a.parquet:row 2"
    one = pyarrow.array([1])
    twice = pyarrow.StructArray.from_arrays([one, one], names=["k", "k"])
    pyarrow.parquet.write_table(pyarrow.table({"about": twice}), tmp_path / "b.parquet")
    (row,) = read_rows(tmp_path / "b.parquet")
    assert str(row.problem).startswith("about: is no value that can be read")


def test_parts_of_a_parquet_folder(tmp_path: Path) -> None:
    """As the hub has them: data/train-*.parquet and data/test-*.parquet are splits, and the README
    beside them is none of the data."""
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text("# About")
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        table = pyarrow.Table.from_pylist([{"text": name}])
        pyarrow.parquet.write_table(table, tmp_path / "data" / f"{name}.parquet")
    assert _values(list(read_rows(tmp_path))) == [
        {"text": "test-00000-of-00001", "split": "test"},
        {"text": "train-00000-of-00002", "split": "train"},
        {"text": "train-00001-of-00002", "split": "train"},
    ]


@pytest.mark.parametrize(
    "data,expected",
    [
        (b"PAR1 but not really", "Parquet: cannot be read"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
    ],
)
def test_a_file_that_is_no_parquet(tmp_path: Path, data: bytes, expected: str) -> None:
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(UserError, match=rf"a\.parquet: {expected}"):
        list(read_rows(tmp_path / "a.parquet"))


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
    parts = {"train": ROWS[:1], "test": [{**ROWS[1], "split": "train"}, ROWS[1]]}
    _saved(monkeypatch, tmp_path / "set", "dataset_dict.json", parts)
    first, second, third = read_rows(tmp_path / "set")
    assert dict(first.values) == {"split": "train", "text": "one"}
    assert str(second.problem) == "split: is train in the row, but its place says test"
    assert (third.values["split"], third.place) == ("test", f"{tmp_path}/set/test:row 2")


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [
        ("pyarrow", "a.parquet", "parquet"),
        ("pyarrow", "a.jsonl.zst", "parquet"),
        ("datasets", "folder", "datasets"),
    ],
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
