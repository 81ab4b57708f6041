"""JSON in its three forms: what a file holds decides which it is, and every row is counted."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.rows import Row, json_files, read_rows, streams

ROWS = [{"text": "one"}, {"text": "two\nlines"}, {"text": "[3]", "x": [{"y": {}}, 1.5, "\u2028"]}]
LINES = "\n".join(map(json.dumps, ROWS)).encode()


def _read(path: Path, data: bytes) -> list[Row]:
    path.write_bytes(data)
    return list(read_rows(path))


def _values(rows: list[Row]) -> list[dict[str, Any]]:
    assert not [row.problem for row in rows if row.problem]
    return [dict(row.values) for row in rows]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson", "a.jl"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_the_content_decides_the_form(tmp_path: Path, name: str, bom: bytes) -> None:
    for data in (
        LINES,
        LINES + b"\n\n",
        b"\n" + LINES,
        json.dumps(ROWS).encode(),
        b"\n " + json.dumps(ROWS).encode() + b"\n",
        json.dumps(ROWS, indent=1).encode(),
        json.dumps({"version": "1.0", "data": ROWS}, indent=1).encode(),
    ):
        assert _values(_read(tmp_path / name, bom + data)) == ROWS, data


def test_rows_under_a_key_or_under_the_names_of_splits(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    rows = _read(path, json.dumps({"data": ROWS[:1], "about": {"by": ["me"]}}).encode())
    assert (_values(rows), rows[0].place) == (ROWS[:1], f"{path}:data:row 1")
    rows = _read(path, json.dumps({"train": ROWS[:1], "dev": ROWS[1:2]}).encode())
    assert [row["split"] for row in _values(rows)] == ["train", "dev"]
    assert [row.place for row in rows] == [f"{path}:train:row 1", f"{path}:dev:row 1"]


@pytest.mark.parametrize(
    "whole,expected",
    [
        ({"text": "a"}, "holds one object (text) but must hold a list .* put it into a list"),
        ({"data": ROWS, "rows": ROWS}, "(data, rows) .*If the rows are under data: jq"),
        ({"messages": [{"role": "user"}]}, """under messages: jq '.["messages"]' FILE"""),
        ({"train": ROWS, "notes": "x"}, "(train, notes) .*under train: jq"),
        ({"a": {"text": "x"}, "b": {"text": "y"}}, "jq '[.[]]' FILE .*orient='records'"),
        ({}, "holds one object (empty)"),
    ],
)
def test_another_object_is_refused_with_the_cure(
    tmp_path: Path, whole: dict[str, Any], expected: str
) -> None:
    pattern = ".*".join(map(re.escape, expected.split(".*")))
    for indent in (None, 1):
        with pytest.raises(UserError, match=pattern):
            _read(tmp_path / "a.json", json.dumps(whole, indent=indent).encode())


def test_objects_over_several_lines_are_refused_with_the_cure(tmp_path: Path) -> None:
    data = "\n".join(json.dumps(row, indent=1) for row in ROWS).encode()
    for name in ("a.json", "a.jsonl"):
        with pytest.raises(UserError, match=r"JSON: Extra data(?s:.*)jq -c \. FILE > ROWS\.jsonl"):
            _read(tmp_path / name, data)


def test_a_bad_item_of_a_list_is_bad_alone(tmp_path: Path) -> None:
    """What ends where the next one begins is one row, whatever is wrong in it."""
    data = (
        b'[{"a": 1}, {"a": NaN}, {"b": 1, "b": 2}, 7, {"a": 1e999}, {"c": [{"a": %s}]}, {"a": 2}]'
    )
    rows = _read(tmp_path / "a.json", data % (b"9" * 5000))
    assert [row.place.rpartition(":")[2] for row in rows] == [f"row {i}" for i in range(1, 8)]
    assert [str(row.problem or row.values) for row in rows] == [
        "{'a': 1}",
        "JSON: NaN is not a JSON number",
        "b: occurs twice in one object",
        "row: is a number but must be an object with named columns",
        "JSON: the number 1e999 is too large",
        "JSON: an integer of 5000 digits is too large",
        "{'a': 2}",
    ]


@pytest.mark.parametrize(
    "data,expected",
    [
        (b"[]", "the list is empty"),
        (b'[{"a": 1}', ":1: JSON: Expecting ',' delimiter .column 10.; .*cut off"),
        (b'[\n{"a": 1},\n{"a" 2}\n]', ":3: JSON: Expecting ':' delimiter .column 6."),
        (b'[\n{"a": 1}\n{"a": 2}\n]', ":3: JSON: Expecting ',' delimiter .column 1."),
        (b'[{"a": 1},]', ":1: JSON: Expecting value"),
        (b'[{"a": 1}]\n{"a": 2}\n', "row: is a list but must be an object"),
        (b'[{"a": 1}\n]\n{"a": 2}\n', ":3: JSON: the list ends before the file does"),
        (b"[" * 5000, "JSON: is nested too deeply"),
        (b'[{"a": 1},\n"\xff"]', "UTF-8: byte 0xff"),
    ],
)
def test_a_list_that_cannot_be_read(tmp_path: Path, data: bytes, expected: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    try:
        found = next(str(row.problem) for row in read_rows(path) if row.problem)
    except UserError as error:
        found = str(error)
        assert found.startswith(str(path))
    assert re.search(expected, found), found


@pytest.mark.parametrize("seed", range(20))
def test_a_list_is_read_the_same_in_pieces_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Numbers, escapes and characters of several bytes that fall between two pieces."""
    draw = random.Random(seed)
    monkeypatch.setattr(json_files, "BLOCK", draw.randint(1, 40))
    rows = [
        {
            "n": draw.randrange(10**6),
            "t": "".join(draw.choices('ab"\\\u00e9\u6570\U0001f600\n', k=9)),
        }
        for _ in range(30)
    ]
    for ascii_only in (True, False):
        data = json.dumps(rows, ensure_ascii=ascii_only, indent=draw.choice([None, 2])).encode()
        (tmp_path / "a.json").write_bytes(data)
        found = json_files._list(tmp_path / "a.json", lambda count: None)
        assert _values(list(found)) == rows


def test_an_item_longer_than_a_line_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "BLOCK", 8)
    monkeypatch.setattr(json_files, "LONGEST_LINE", 100)
    with pytest.raises(UserError, match="JSON: Unterminated string"):
        _read(tmp_path / "a.json", b'[{"a": "' + b"x" * 10_000 + b'"}]')
    assert streams.LONGEST_LINE == 64 << 20
