"""Malformed input: one error that names file, line, field and reason; with skip, all other rows are
kept."""

from __future__ import annotations

import copy
import gzip
import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab_builtin.files.config import FilesConfig, OnBadRow, RecordKind
from preflab_builtin.files.source import FileSource

_ROWS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "prompt": ("prompts", {"prompt": "q"}, ("prompt",)),
    "completion": ("demonstrations", {"prompt": "q", "completion": "a"}, ("prompt", "completion")),
    "alpaca": (
        "demonstrations",
        {"instruction": "do", "input": "x", "output": "a"},
        ("instruction", "output"),
    ),
    "self-instruct": (
        "demonstrations",
        {"instruction": "do", "instances": [{"input": "", "output": "a"}]},
        ("instruction", "instances"),
    ),
    "messages": (
        "demonstrations",
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
        ("messages",),
    ),
    "explicit": (
        "rankings",
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        ("prompt", "chosen", "rejected"),
    ),
    "implicit": (
        "rankings",
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
        ("chosen", "rejected"),
    ),
    "k-wise": (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ranks": [1, 2]},
        ("prompt", "completions", "ranks"),
    ),
    "llmbar": (
        "rankings",
        {"input": "q", "output_1": "a", "output_2": "b", "label": 1},
        ("input", "output_1", "output_2", "label"),
    ),
    "text": ("documents", {"text": "words"}, ("text",)),
}
"""By shape: record type, a good row, and its required columns."""
_MISSING = object()
_BAD_VALUES: dict[str, Any] = {
    "missing": _MISSING,
    "null": None,
    "empty": "",
    "blank": " \n",
    "wrong type": 3.5,
    "true": True,
    "object": {},
    "empty list": [],
    "NUL": "a\0b",
    "lone surrogate": "a\ud800b",
    "list of null": [None, None],
}
_MUTATIONS = [
    (shape, column, kind)
    for shape, (_, _, needs) in _ROWS.items()
    for column in needs
    for kind in _BAD_VALUES
]


def check(path: Path, record_type: str, line: int, expected: str, rows: int = 3) -> None:
    """With error the row is refused by its place; with skip it is counted, and all others kept."""
    config = FilesConfig(record=RecordKind(record_type), path=str(path))
    with pytest.raises(UserError) as caught:
        FileSource(config)
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert re.match(rf"{re.escape(str(path))}:(row )?{line}: [^:]+: .", message), message
    assert re.search(expected, message), message
    config.on_bad_row = OnBadRow.skip
    with pytest.warns(UserWarning, match=f"{rows - 1} of {rows} rows kept, 1 rejected"):
        (parsed,) = FileSource(config).parsed.values()
    assert (parsed.total, len(parsed.rejected)) == (rows, 1)
    assert parsed.kept == len(parsed.records) == rows - 1
    assert parsed.rejected[0] in message


def good(shape: str, number: int) -> dict[str, Any]:
    """A good row of a shape, different for every number."""
    return copy.deepcopy({**_ROWS[shape][1], "id": f"row{number}"})


def mutated(shape: str, column: str, kind: str) -> dict[str, Any]:
    """A good row with one bad column."""
    row, value = good(shape, 2), _BAD_VALUES[kind]
    if value is _MISSING:
        del row[column]
    else:
        row[column] = value
    return row


@pytest.mark.parametrize("shape,column,kind", _MUTATIONS)
def test_a_bad_column_is_named(tmp_path: Path, shape: str, column: str, kind: str) -> None:
    rows = [good(shape, 1), mutated(shape, column, kind), good(shape, 3)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    check(path, _ROWS[shape][0], 2, column)


_GOOD = b'{"text": "good", "id": %d}\n'
_BROKEN: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"hello\n", "JSON: Expecting value"),
    "bad UTF-8": (b'{"text": "a\xff"}\n', "UTF-8: byte 0xff at position 11"),
    "a list": (b'["text", "a"]\n', "row: is a list but must be an object"),
    "a text": (b'"text"\n', "row: is a text"),
    "a number": (b"5\n", "row: is a number"),
    "null": (b"null\n", "row: is null"),
    "no columns": (b"{}\n", "columns: none: no shape of documents"),
    "duplicate id": (b'{"text": "b", "id": 1}\n', "id: '1' is taken by .*:1"),
    "id is an object": (b'{"text": "b", "id": {}}\n', "id: is an object"),
    "id is true": (b'{"text": "b", "id": true}\n', "id: is true or false"),
    "unknown split": (b'{"text": "b", "split": "tran"}\n', "split: is 'tran'.*mean 'train'"),
    "answer outside": (b'{"text": "b", "answer_start": 1}\n', "answer_start: is 1 but must be a"),
    "answer is a text": (b'{"text": "b", "answer_start": "1"}\n', "answer_start"),
    "typo in a column": (b'{"txet": "b"}\n', "columns: txet: .*conversation. Did you mean 'text'"),
}
"""By kind: a line that is not a document, and the reason."""


@pytest.mark.parametrize("kind", _BROKEN)
def test_a_broken_line_is_named(tmp_path: Path, kind: str) -> None:
    line, expected = _BROKEN[kind]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(_GOOD % 1 + line + _GOOD % 3)
    check(path, "documents", 2, expected)
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    check(packed, "documents", 2, expected)


def test_a_cut_last_line_says_so(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(_GOOD % 1 + _GOOD % 2 + b'{"text": "the la')
    check(path, "documents", 3, "the file ends here without a newline: was it cut off")
    path.write_bytes(_GOOD % 1 + (_GOOD % 2).rstrip())  # a whole last line without a newline
    assert len(FileSource(FilesConfig(documents=str(path))).records("documents")) == 2


def test_an_id_may_repeat_only_with_the_same_prompt(tmp_path: Path) -> None:
    first = {"prompt": "q", "chosen": "a", "rejected": "b", "id": 1}
    path = tmp_path / "rows.jsonl"
    rows = (first, {**first, "prompt": "other"}, {**first, "labeler": "w2"})
    path.write_text("\n".join(json.dumps(row) for row in rows))
    check(path, "rankings", 2, "id: '1' is taken by .*:1 with another prompt. .*ignore=\\[id\\]")


def test_an_id_of_another_kind_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = ({"prompt": f"q{n}", "completion": "a", "id": n or True} for n in range(3))
    path.write_text("\n".join(json.dumps(row) for row in rows))
    check(path, "demonstrations", 1, "id: .*If it names no prompt: .*ignore=\\[id\\]")


def test_a_refused_row_takes_no_id(tmp_path: Path) -> None:
    row = {
        "id": 1,
        "instruction": "do",
        "instances": [{"input": "a", "output": "x"}, {"input": "b", "output": ""}],
    }
    fixed = {**row, "instances": [{"input": "c", "output": "x"}, {"input": "d", "output": "y"}]}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps(fixed))
    with pytest.warns(UserWarning, match="1 of 2 rows kept"):
        source = FileSource(FilesConfig(demonstrations=str(path), on_bad_row=OnBadRow.skip))
    assert len(source.records("demonstrations")) == 2


def test_several_bad_rows_are_one_error_with_their_number(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(_GOOD % 1 + b"x\n{}\n")
    with pytest.raises(UserError, match=r":2: JSON: (?s:.*)2 of 3 rows are bad"):
        FileSource(FilesConfig(documents=str(path)))


def test_a_config_that_names_a_column_needs_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "q", "user_id": "u"}')
    expected = r":1: usr_id: the config names this column.*Did you mean 'user_id'"
    with pytest.raises(UserError, match=expected):
        FileSource(FilesConfig(prompts=str(path), user="usr_id"))


_PARQUET = [
    (s, c, k)
    for s, c, k in _MUTATIONS
    if s in ("explicit", "k-wise") and k != "object" and k != "lone surrogate"
]


@pytest.mark.parametrize("shape,column,kind", _PARQUET)
def test_a_bad_parquet_column_is_named(tmp_path: Path, shape: str, column: str, kind: str) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([mutated(shape, column, kind)]), path)
    expected = r"rows.parquet:row 1: [^:]+: .*\n?.*1 of 1 rows is bad"
    with pytest.raises(UserError, match=expected) as caught:
        FileSource(FilesConfig(rankings=str(path)))
    assert column in str(caught.value)


def test_parquet_scores_must_be_finite(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "rows.parquet"
    row = {"prompt": "q", "completions": ["a", "b"], "scores": [1.0, float("nan")]}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path)
    with pytest.raises(UserError, match=r"row 1: scores\[1\]: is nan but must be a finite number"):
        FileSource(FilesConfig(rankings=str(path)))


def test_good_rows_give_no_warning(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(_GOOD % 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FileSource(FilesConfig(documents=str(path), on_bad_row=OnBadRow.skip))
