"""Malformed input: exactly one error that names file, line, field and reason; with skip, every other row is kept."""

from __future__ import annotations

import contextlib
import copy
import gzip
import json
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from preflab_builtin.files.rows import BadRow
from preflab_builtin.files.strict_json import parse

from preflab import UserError
from preflab.options import problems
from preflab_builtin.files.config import FilesConfig, OnBadRow, RecordKind
from preflab_builtin.files.source import load

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
    """Refused with the place under error; counted, and all other rows kept, under skip."""
    config = FilesConfig(record=RecordKind(record_type), path=str(path))
    with pytest.raises(UserError) as caught:
        load(config)
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert re.match(rf"{re.escape(str(path))}:(row )?{line}: [^:]+: .", message), message
    assert re.search(expected, message), message
    config.on_bad_row = OnBadRow.skip
    with pytest.warns(UserWarning, match=f"{rows - 1} of {rows} rows kept, 1 rejected"):
        parsed = load(config).parsed[record_type]
    assert (parsed.total, parsed.kept, len(parsed.rejects), len(parsed.records)) == (
        rows,
        rows - 1,
        1,
        rows - 1,
    )
    assert parsed.rejects[0] in message


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


def test_there_are_enough_of_them() -> None:
    assert len(_MUTATIONS) + len(_BROKEN) + len(_CONTRADICTIONS) >= 150
    assert len(_BAD_VALUES) + len(_BROKEN) >= 30


@pytest.mark.parametrize("shape,column,kind", _MUTATIONS)
def test_a_bad_column_is_named(tmp_path: Path, shape: str, column: str, kind: str) -> None:
    rows = [good(shape, 1), mutated(shape, column, kind), good(shape, 3)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    check(path, _ROWS[shape][0], 2, column)


_GOOD = b'{"text": "good", "id": %d}\n'
_BROKEN: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"hello\n", "JSON: Expecting value"),
    "half an object": (b'{"text": "a"\n', "JSON: Expecting ',' delimiter"),
    "two objects": (b'{"text": "a"} {"text": "b"}\n', "JSON: Extra data"),
    "single quotes": (b"{'text': 'a'}\n", "JSON: Expecting property name"),
    "trailing comma": (b'{"text": "a",}\n', "JSON: "),
    "NaN": (b'{"text": "a", "x": NaN}\n', "JSON: NaN is not a JSON number"),
    "Infinity": (b'{"text": "a", "x": Infinity}\n', "JSON: Infinity is not"),
    "minus Infinity": (b'{"text": "a", "x": [-Infinity]}\n', "JSON: -Infinity is not"),
    "overflow": (b'{"text": "a", "x": 1e999}\n', "1e999 is too large"),
    "minus overflow": (b'{"text": "a", "x": -1e999}\n', "-1e999 is too large"),
    "huge integer": (b'{"text": "a", "x": ' + b"9" * 5000 + b"}\n", "5000 digits is too large"),
    "duplicate key": (b'{"text": "a", "text": "b"}\n', "text: stands twice"),
    "inner duplicate key": (b'{"text": "a", "x": {"y": 1, "y": 2}}\n', "y: stands twice"),
    "deep list": (
        b'{"text": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
        "JSON: is nested too deeply",
    ),
    "deep object": (
        b'{"text": ' * 100_000 + b"1" + b"}" * 100_000 + b"\n",
        "JSON: is nested too deeply",
    ),
    "bad UTF-8": (b'{"text": "a\xff"}\n', "UTF-8: byte 0xff at position 11"),
    "cut UTF-8": (b'{"text": "\xe2\x80"}\n', "UTF-8: byte 0xe2"),
    "overlong UTF-8": (b'{"text": "\xc0\xaf"}\n', "UTF-8: byte 0xc0"),
    "surrogate bytes": (b'{"text": "\xed\xa0\x80"}\n', "UTF-8: byte 0xed"),
    "raw NUL": (b'{"text": "a\x00"}\n', "JSON: Invalid control character"),
    "NUL line": (b"\x00\x00\n", "JSON: Expecting value"),
    "raw tab": (b'{"text": "a\tb"}\n', "JSON: Invalid control character"),
    "BOM in the middle": (b'\xef\xbb\xbf{"text": "a"}\n', "JSON: "),
    "a list": (b'["text", "a"]\n', "row: is a list but must be an object"),
    "a text": (b'"text"\n', "row: is a text"),
    "a number": (b"5\n", "row: is a number"),
    "null": (b"null\n", "row: is null"),
    "no columns": (b"{}\n", "columns: none: no shape of documents"),
    "duplicate id": (b'{"text": "b", "id": 1}\n', "id: '1' is taken: it stands at .*:1"),
    "id is an object": (b'{"text": "b", "id": {}}\n', "id: is an object"),
    "id is true": (b'{"text": "b", "id": true}\n', "id: is true or false"),
    "unknown split": (
        b'{"text": "b", "split": "tran"}\n',
        "split: is 'tran'.*Did you mean 'train'",
    ),
    "answer outside": (
        b'{"text": "b", "answer_start": 1}\n',
        "answer_start: is 1 but must be a position",
    ),
    "answer is a text": (b'{"text": "b", "answer_start": "1"}\n', "answer_start"),
    "typo in a column": (
        b'{"txet": "b"}\n',
        "columns: txet: .*Allowed: text; messages. Did you mean 'text'",
    ),
    "bad escape": (b'{"text": "\\x"}\n', "JSON: Invalid"),
}


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
    path.write_bytes(
        _GOOD % 1 + (_GOOD % 2).rstrip()
    )  # a whole last line without a newline is fine
    assert len(load(FilesConfig(documents=str(path))).records("documents")) == 2


_START = "\n\nHuman: q\n\nAssistant:"
_CONTRADICTIONS: list[tuple[str, dict[str, Any], str]] = [
    (
        "rankings",
        {"prompt": "q", "chosen": "same", "rejected": "same"},
        "response: all of them are the same",
    ),
    (
        "rankings",
        {"chosen": f"{_START} a", "rejected": f"{_START}"},
        "response: one of them is empty",
    ),
    ("rankings", {"chosen": "a", "rejected": "b"}, "chosen: and rejected share no"),
    (
        "rankings",
        {"chosen": f"{_START} a{_START} b", "rejected": f"{_START} c"},
        "part before their last turn",
    ),
    ("rankings", {"prompt": "q", "completions": ["a"], "ranks": [1]}, "completions: has 1 of them"),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ranks": [1, 1]},
        "preferences: all responses are tied",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "scores": [2, 2]},
        "preferences: all responses are tied",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ranks": [1, 2, 3]},
        "ranks: has 3 numbers for 2 completions",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ranks": [0, 1]},
        "ranks: starts at 0 but must start at 1",
    ),
    ("rankings", {"prompt": "q", "completions": ["a", "b"], "ranks": [2, 3]}, "ranks: starts at 2"),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ranks": ["1", "2"]},
        r"ranks\[0\]: is a text",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ranks": [1, True]},
        r"ranks\[1\]: is true or false",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ranks": [1, 2], "scores": [1, 2]},
        "scores: and ranks are both",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "a"], "ranks": [1, 2]},
        "same text but ranked differently",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", " "], "ranks": [1, 2]},
        r"completions\[1\]: is empty",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ratings": [[], [1]]},
        r"ratings\[0\]: is an empty list",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ratings": [1]},
        "ratings: has 1 entries for 2",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"]},
        "columns: .*ranks|ranking|scores|ratings",
    ),
    ("rankings", {"prompt": "q", "chosen": "a", "regected": "b"}, "Did you mean 'rejected'"),
    (
        "rankings",
        {"prompt": "q", "chosen": [{"role": "assistant", "content": "a"}] * 2, "rejected": "b"},
        "chosen: must be one assistant",
    ),
    (
        "rankings",
        {"input": "q", "output_1": "a", "output_2": "b", "label": 0},
        "label: is 0 but must be 1 or 2",
    ),
    (
        "rankings",
        {"prompt": {"text": "q"}, "responses": ["a", "b"], "preferences": [[0, 2]]},
        r"preferences\[0\]: is \[0, 2\]",
    ),
    (
        "rankings",
        {"prompt": {"text": "q"}, "responses": ["a", "b"], "preferences": [[0, 0]]},
        r"preferences\[0\]: is \[0, 0\]",
    ),
    (
        "rankings",
        {"prompt": {"text": "q"}, "responses": ["a", "b"], "preferences": [[0]]},
        r"preferences\[0\]: must be two",
    ),
    (
        "rankings",
        {"prompt": {"text": "q"}, "responses": ["a", "b"], "preferences": []},
        "preferences: all responses are tied",
    ),
    (
        "rankings",
        {"prompt": "q", "responses": ["a", "b"], "preferences": [[0, 1]]},
        "prompt: is a text but must be an object",
    ),
    ("demonstrations", {"prompt": "q", "completion": "a", "label": False}, "label: is false"),
    (
        "demonstrations",
        {"prompt": "q", "response": "a"},
        "columns: .*Allowed: prompt \\+ completion",
    ),
    (
        "demonstrations",
        {"messages": [{"role": "user", "content": "q"}]},
        "messages: ends with the user",
    ),
    (
        "demonstrations",
        {"messages": [{"role": "assistant", "content": "q"}]},
        "messages: holds the response alone",
    ),
    (
        "demonstrations",
        {"messages": [{"role": "usr", "content": "q"}]},
        r"messages\[0\].role: is 'usr'.*Did you mean 'user'",
    ),
    (
        "demonstrations",
        {"messages": [{"from": "human", "value": "q"}]},
        r"messages\[0\]: must be a message",
    ),
    (
        "demonstrations",
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        r"messages\[0\].content: is a list",
    ),
    (
        "demonstrations",
        {"instruction": "do", "instances": [{"input": "x"}]},
        r"instances\[0\].output: is null",
    ),
    ("demonstrations", {"instruction": "do", "instances": ["x"]}, r"instances\[0\]: is a text"),
    ("prompts", {"prompt": "q", "tags": 5}, "tags: is a number but must be a list"),
    ("prompts", {"prompt": "q", "user": ["u"]}, "user: is a list"),
    ("prompts", {"prompt": "q", "notes": "n"}, "notes: is a text but must be an object"),
    (
        "prompts",
        {"prompt": [{"role": "assistant", "content": "q"}]},
        "prompt: ends with the assistant",
    ),
    ("prompts", {"promt": "q"}, "Did you mean 'prompt'"),
]
_GOOD_ROWS = {"prompts": "prompt", "demonstrations": "completion", "rankings": "explicit"}


@pytest.mark.parametrize("number", range(len(_CONTRADICTIONS)))
def test_a_contradiction_is_explained(tmp_path: Path, number: int) -> None:
    record_type, row, expected = _CONTRADICTIONS[number]
    path = tmp_path / "rows.jsonl"
    rows = [good(_GOOD_ROWS[record_type], 1), row, good(_GOOD_ROWS[record_type], 3)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    check(path, record_type, 2, expected)


def test_one_id_for_two_prompts_is_refused_and_for_one_is_not(tmp_path: Path) -> None:
    first = {"prompt": "q", "chosen": "a", "rejected": "b", "id": 1}
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "\n".join(
            json.dumps(r) for r in (first, {**first, "prompt": "other"}, {**first, "labeler": "w2"})
        )
    )
    check(path, "rankings", 2, "id: '1' is taken: it stands at .*:1 with another prompt")


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
        records = load(FilesConfig(demonstrations=str(path), on_bad_row=OnBadRow.skip)).records(
            "demonstrations"
        )
    assert len(records) == 2


def test_several_bad_rows_are_one_error_with_their_number(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(_GOOD % 1 + b"x\n{}\n")
    with pytest.raises(UserError, match=r":2: JSON: (?s:.*)2 of 3 rows are bad"):
        load(FilesConfig(documents=str(path)))


def test_a_config_that_names_a_column_needs_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "q", "user_id": "u"}')
    with pytest.raises(
        UserError, match=r":1: usr_id: the config names this column.*Did you mean 'user_id'"
    ):
        load(FilesConfig(prompts=str(path), user="usr_id"))


@pytest.mark.parametrize(
    "name,data,expected",
    [
        ("a.jsonl", b"", "the file is empty"),
        ("a.jsonl", b"\n \n", "there are no rows"),
        ("a.jsonl", b"x\n", "none is left|JSON"),
        ("a.jsonl", b"\xff\xfe{\x00}\x00", "UTF-16"),
        ("a.jsonl.gz", b"not gzip", "gzip: the file is damaged"),
        (
            "a.jsonl.gz",
            gzip.compress(b'{"text": "a"}\n' * 9999, mtime=0)[:-20],
            "gzip: the file is damaged or cut off",
        ),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0), "there are no rows"),
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
        ("a.txt", b"\n\n", "there are no rows"),
        ("a.txt", b"good\n\nbad \xff", ":3: UTF-8: byte 0xff"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*rows kept")
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=f"^{re.escape(str(tmp_path / name))}.*({expected})"):
        load(FilesConfig(documents=str(tmp_path / name)))


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "q"}')
    with pytest.raises(UserError, match=r"no such file or folder. Did you mean 'prompts.jsonl'"):
        load(FilesConfig(prompts=str(tmp_path / "prompt.jsonl")))
    with pytest.raises(UserError, match="not one that datasets' save_to_disk wrote"):
        load(FilesConfig(prompts=str(tmp_path)))
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match=r"\.txt files hold documents, not prompts"):
        load(FilesConfig(prompts=str(tmp_path / "a.txt")))
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="the folder is empty"):
        load(FilesConfig(prompts=str(tmp_path / "none")))


_PARQUET = [
    (s, c, k)
    for s, c, k in _MUTATIONS
    if s in ("explicit", "k-wise") and k != "object" and k != "lone surrogate"
]


def test_there_are_enough_parquet_rows() -> None:
    assert len(_PARQUET) >= 30


@pytest.mark.parametrize("shape,column,kind", _PARQUET)
def test_a_bad_parquet_column_is_named(tmp_path: Path, shape: str, column: str, kind: str) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([mutated(shape, column, kind)]), path)
    with pytest.raises(
        UserError, match=r"rows.parquet:row 1: [^:]+: .*\n?.*1 of 1 rows is bad"
    ) as caught:
        load(FilesConfig(rankings=str(path)))
    assert column in str(caught.value)


def test_parquet_scores_must_be_finite(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "rows.parquet"
    row = {"prompt": "q", "completions": ["a", "b"], "scores": [1.0, float("nan")]}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path)
    with pytest.raises(UserError, match=r"row 1: scores\[1\]: is nan but must be a finite number"):
        load(FilesConfig(rankings=str(path)))


@pytest.mark.parametrize(
    "module,name,extra", [("pyarrow", "a.parquet", "parquet"), ("datasets", "folder", "datasets")]
)
def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str, extra: str
) -> None:
    if name == "folder":
        (tmp_path / name).mkdir()
    file = tmp_path / name / "dataset_info.json" if name == "folder" else tmp_path / name
    file.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        UserError, match=rf"needs {module}. Install it with: pip install 'preflab\[{extra}\]'"
    ):
        load(FilesConfig(prompts=str(tmp_path / name)))


@pytest.mark.parametrize(
    "values,key,expected",
    [
        ({}, "prompts", "are all null"),
        ({"path": "a"}, "record", "Allowed: prompts, demonstrations, rankings, documents"),
        ({"record": RecordKind.rankings}, "path", "must name a file of rankings"),
        (
            {"record": RecordKind.rankings, "path": "a", "prompts": "b"},
            "prompts",
            "use 'path', or data=files",
        ),
    ],
)
def test_configs_that_do_not_say_what_to_read(
    values: dict[str, Any], key: str, expected: str
) -> None:
    ((found, message),) = problems(FilesConfig(**values))
    assert found == key
    assert expected in message


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_reason(data: bytes) -> None:
    with contextlib.suppress(BadRow):
        json.dumps(
            parse(data), allow_nan=False
        )  # anything but a finite value or BadRow raises here


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    )
)
def test_what_python_writes_is_read_back_or_refused(value: Any) -> None:
    text = json.dumps(value)
    if re.search(r"NaN|Infinity", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        with pytest.raises(BadRow, match="is not a JSON number"):
            parse(text.encode())
    else:
        assert parse(text.encode()) == value


def test_good_rows_make_no_noise(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(_GOOD % 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(FilesConfig(documents=str(path), on_bad_row=OnBadRow.skip))
