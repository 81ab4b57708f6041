"""Tables as text: what separates the values is seen from the rows, and rows stay rows."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.rows import Row, read_rows, streams


def _read(path: Path, data: bytes) -> list[Row]:
    path.write_bytes(data)
    return list(read_rows(path))


def _values(rows: list[Row]) -> list[dict[str, Any]]:
    assert not [row.problem for row in rows if row.problem]
    return [dict(row.values) for row in rows]


def _written(rows: list[list[str]], **how: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, **how).writerows(rows)
    return text.getvalue().encode()


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_rows_say_what_separates_the_values(tmp_path: Path, name: str, mark: str) -> None:
    rows = [["a", "b"], ["1,5; x", "two\nlines"], ['"q", he said', "x\ty|z"], ["", "é"]]
    expected = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        for end in ("\n", "\r\n"):
            data = _written(rows, delimiter=mark, quoting=quoting, lineterminator=end)
            found = _values(_read(tmp_path / name, data))
            assert found == [{k: v.replace("\n", end) for k, v in r.items()} for r in expected] or (
                found == expected
            )


def test_excels_first_line_names_the_separator(tmp_path: Path) -> None:
    rows = _read(tmp_path / "a.csv", b"\xef\xbb\xbfsep=;\r\na;b,c\r\n1;2,3\r\n")
    assert (_values(rows), rows[0].place) == ([{"a": "1", "b,c": "2,3"}], f"{tmp_path}/a.csv:3")


def test_a_header_with_two_marks_is_decided_by_the_rows_or_refused(tmp_path: Path) -> None:
    rows = _values(_read(tmp_path / "a.csv", b"name, first;age\nx, y;1\nz;2\n"))
    assert rows == [{"name, first": "x, y", "age": "1"}, {"name, first": "z", "age": "2"}]
    with pytest.raises(UserError, match=r"a\.csv:1: .*separated by ',' or ';'\. .*header: sep=,"):
        _read(tmp_path / "a.csv", b"name, first;age\nx, y;1\n")


def test_one_column_may_hold_any_mark(tmp_path: Path) -> None:
    rows = _read(tmp_path / "a.csv", b"question (yes; no)\nwhy?\nhow? a;b\nwho?\n")
    assert [row["question (yes; no)"] for row in _values(rows)] == ["why?", "how? a;b", "who?"]
    rows = _read(tmp_path / "a.csv", b"question (yes|no)\nwhy?\nhow?\n")
    assert _values(rows) == [{"question (yes|no)": "why?"}, {"question (yes|no)": "how?"}]


def test_quotes_in_a_table_of_linguists_are_characters(tmp_path: Path) -> None:
    """Where quotes cannot enclose values they are read as they are; where both can be, with other
    rows, nobody knows unless the header is in quotes."""
    data = b'id\ttext\tlabel\n1\t"so" he said\t0\n2\tplain\t1\n'
    rows = _values(_read(tmp_path / "a.tsv", data))
    assert [row["text"] for row in rows] == ['"so" he said', "plain"]
    data = b'id\ttext\tlabel\n1\t"so he\t0\n2\tsaid"\t1\n'
    with pytest.raises(UserError, match=r"has 1 rows if quotes enclose .* 2 if they are char"):
        _read(tmp_path / "a.tsv", data)
    (row,) = _values(_read(tmp_path / "a.tsv", b'"id"' + data[2:]))
    assert row == {"id": "1", "text": "so he\t0\n2\tsaid", "label": "1"}
    pandas = b'id\ttext\n1\t"he said ""so"""\n2\t"two\nlines"\n'
    rows = _values(_read(tmp_path / "a.tsv", pandas))
    assert [row["text"] for row in rows] == ['he said "so"', "two\nlines"]


def test_a_bad_row_is_bad_alone(tmp_path: Path) -> None:
    data = b'a,b\n1,2\n"x" y,3\n4\n5,\xff\n\n6,7\n'
    good, quote, short, byte, last = _read(tmp_path / "a.csv", data)
    assert (good.values, last.values) == ({"a": "1", "b": "2"}, {"a": "6", "b": "7"})
    assert [str(row.problem) for row in (quote, short)] == [
        "CSV: ',' expected after '\"'",
        "row: has 1 values, the header has 2 columns",
    ]
    assert str(byte.problem).startswith("UTF-8: byte 0xff at position 2 of the line is not valid")
    assert [row.place.rpartition(":")[2] for row in (quote, short, byte, last)] == list("3457")


def test_columns_without_names(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,,\n1,2,,\n3,4, ,x\n5,6,,\n")
    good, bad, last = read_rows(path)
    assert (good.values, last.values) == ({"a": "1", "b": "2"}, {"a": "5", "b": "6"})
    assert str(bad.problem) == "row: has a value in column 4, which has no name"
    path.write_text(",a\n0,1\n")  # the index that pandas writes
    assert [row.values for row in read_rows(path)] == [{"": "0", "a": "1"}]
    path.write_text("a,,b,b\n1,2,3,4\n")
    with pytest.raises(UserError, match=r"a\.csv:1: b: two columns have this name"):
        list(read_rows(path))


def test_long_cells_and_too_long_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell may be longer than the 131,072 characters that `csv` allows by default; a line over
    the limit of all rows is left out alone."""
    data = b"a,b\n1," + b"x" * 200_000 + b"\n2,3\n"
    assert len(_values(_read(tmp_path / "a.csv", data))[0]["b"]) == 200_000
    monkeypatch.setattr(streams, "LONGEST_LINE", 100_000)
    long, good = _read(tmp_path / "a.csv", data)
    assert str(long.problem).startswith("row: is longer than")
    assert good.values == {"a": "2", "b": "3"}


@pytest.mark.parametrize(
    "data,expected",
    [
        (b"a,b\r1,2\r3,4\r", ":1: CSV: the lines end as on old Macs"),
        (b"text,text\na,b\n", ":1: text: two columns have this name"),
        (b"a,b\n\xff,x\n", ""),
        (b"\xff,b\n1,2\n", ":1: UTF-8: byte 0xff"),
        (b'a,b\n1,"2\n3,4\n5,6\n', r":2: CSV: unexpected end of data \(by line 4\)"),
        (b'a,b\n1,"2\n3,"4\n5,6\n', r":2: CSV: ',' expected .*\(by line 3\).*is a quote"),
    ],
)
def test_where_rows_begin_must_be_known(tmp_path: Path, data: bytes, expected: str) -> None:
    if not expected:
        (row,) = _read(tmp_path / "a.csv", data)
        assert row.problem is not None
        return
    with pytest.raises(UserError, match=rf"a\.csv{expected}"):
        _read(tmp_path / "a.csv", data)


@pytest.mark.parametrize("seed", range(30))
def test_every_row_that_is_written_is_read(tmp_path: Path, seed: int) -> None:
    """Random texts, separators and quoting: the rows that `csv` writes are the rows that are
    read."""
    draw = random.Random(seed)
    marks = draw.sample(",;\t|", 1)[0]
    rows = [["prompt", "chosen", "score"]]
    for i in range(draw.randint(2, 60)):
        texts = [
            "".join(draw.choices('ab ,;\t|"\n\u00e9\u2028', k=draw.randint(0, 30))) for _ in "xx"
        ]
        rows.append([*texts, str(i)])
    path = tmp_path / draw.choice(["a.csv", "a.tsv"])
    found = _values(_read(path, _written(rows, delimiter=marks, lineterminator="\n")))
    assert [list(row.values()) for row in found] == rows[1:]
