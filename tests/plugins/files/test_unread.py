"""Columns that nobody reads, over a whole file: texts are refused, marks are told, and rows that
are marked to be left out are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab_builtin.files.config import FilesConfig, OnBadRow, RecordKind
from preflab_builtin.files.source import FileSource, inspect


def config(tmp_path: Path, values: dict[str, list[Any]], **settings: Any) -> FilesConfig:
    """Of demonstrations, one for each value of a column."""
    (name,) = values
    rows = [
        {"prompt": f"Guest {i}:", "completion": f" Hello {i}!", name: value}
        for i, value in enumerate(values[name])
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return FilesConfig(record=RecordKind.demonstrations, path=str(path), **settings)


@pytest.mark.parametrize(
    "values",
    [
        {"hypothesis": ["The pool is not open.", "The sauna is closed today."]},
        {"options": [["Paris", "Rome"], ["Oslo", "Bonn"]]},
        {"choices": ['["Paris", "Rome"]', '["Oslo", "Bonn"]']},
        {"content": ["今天游泳池不开放请明天再来", "桑拿房今天也关闭了对不起"]},
        {"hint": ["think of one", "think of two"]},
        {"rounds": [[{"q": "hi", "a": "hello"}], [{"q": "who?", "a": "me"}]]},
        {"past": [[["hi", "hello"]], [["who?", "me"]]]},
    ],
)
def test_texts_that_differ_are_refused(tmp_path: Path, values: dict[str, list[Any]]) -> None:
    (name,) = values
    expected = rf"jsonl: {name}: holds texts that differ .*demonstrations.ignore=\[{name}\]"
    with pytest.raises(UserError, match=expected):
        inspect(config(tmp_path, values))
    assert inspect(config(tmp_path, values, ignore=[name])).notices == []


@pytest.mark.parametrize(
    "values",
    [
        {"source_title": ["A book of many rooms", "The other book of rooms"]},
        {"style": ["kind and short, no jokes", *["long and very formal letters"] * 8] * 3},
        {"embedding": [[[0.5, 1]], [[2, 3]]]},
        {"spans": [[{"start": 1, "end": 2}], [{"start": 3, "end": 5}]]},
        {"intent": ["greeting", "farewell"]},
        {"keywords": [["a", "b"], ["c"]]},
    ],
)
def test_labels_and_facts_are_not(tmp_path: Path, values: dict[str, list[Any]]) -> None:
    (notice,) = inspect(config(tmp_path, values)).notices
    assert "columns that are not read" in notice


def test_a_text_that_says_all_again(tmp_path: Path) -> None:
    """As the column ``text`` of Alpaca; a passage that the answer is out of is none."""
    rows = [
        {"instruction": f"Say where room {i} is, please.", "output": f"It is in house number {i}."}
        for i in range(9)
    ] + [{"instruction": "Add 1.", "output": "2"}]
    path = tmp_path / "rows.jsonl"
    for form, refused in (("### {instruction}\n### {output}", False), ("All: {output}", True)):
        lines = [json.dumps({**row, "text": form.format(**row)}) + "\n" for row in rows]
        path.write_text("".join(lines), encoding="utf-8")
        given = FilesConfig(demonstrations=str(path))
        if refused:
            with pytest.raises(UserError, match="text: holds texts that differ"):
                inspect(given)
        else:
            assert len(inspect(given).notices) == 1


@pytest.mark.parametrize(
    "values,expected",
    [
        ({"verified": ["approved", "rejected"]}, "'verified' is rejected in 1 of 2 rows"),
        ({"rating": [1, 5, 3]}, "'rating' goes from 1 to 5 and is not read"),
        ({"rating": ["1", "5"]}, "'rating' goes from 1 to 5 and is not read"),
        ({"rating": [1, 1]}, "'rating' is 1 wherever it is given and is not read"),
        ({"score": [0.2, 1]}, "'score' goes from 0.2 to 1 and is not read"),
        ({"score": [0, 1]}, "'score' is 0 in 1 of 2 rows"),
        ({"reward": [-1, 1, -1]}, "'reward' is -1 in 2 of 3 rows"),
        ({"helpful": [False, True]}, "'helpful' is False in 1 of 2 rows"),
        ({"annotation": [{"label": False}]}, "'annotation.label' is False in 1 of 1 rows"),
        ({"flag": ["spam", "ok"]}, "'flag' is spam in 1 of 2 rows"),
    ],
)
def test_marks_are_told(tmp_path: Path, values: dict[str, list[Any]], expected: str) -> None:
    (name,) = values
    found = inspect(config(tmp_path, values)).notices[-1]
    assert found.startswith(f"demonstrations: {expected}")
    assert found.endswith(f"If it does not count: demonstrations.ignore=[{name}].")
    assert inspect(config(tmp_path, values, ignore=[name])).notices == []


def test_counts_are_no_marks(tmp_path: Path) -> None:
    for values in ({"turn_idx": [0, 1]}, {"size": [0, 7]}, {"status": ["fine"]}, {"ok": [True]}):
        assert len(inspect(config(tmp_path, values)).notices) == 1


@pytest.mark.filterwarnings("ignore:.*rows kept")
@pytest.mark.parametrize(
    "values,expected",
    [
        ({"exclude": [False, True]}, "exclude: is True, which leaves the row out.*on_bad_row=skip"),
        ({"skip": ["no", "yes"]}, "skip: is yes"),
        ({"use": [1, 0]}, "use: is 0"),
        ({"isTest": [False, True]}, "isTest: is True"),
        ({"valid": [True, False]}, "valid: is False"),
        ({"is_valid_row": [1, 0]}, "is_valid_row: is 0"),
        ({"invalid": ["no", "yes"]}, "invalid: is yes"),
        ({"status": ["approved", "rejected"]}, "status: is rejected"),
        ({"review_status": ["ok", "Invalid"]}, "review_status: is Invalid"),
        ({"subset": ["train", "test"]}, r"subset: is 'test'.*demonstrations.split=subset"),
    ],
)
def test_rows_to_be_left_out(tmp_path: Path, values: dict[str, list[Any]], expected: str) -> None:
    (name,) = values
    with pytest.raises(UserError, match=rf":2: {expected}.*ignore=\[{name}\]"):
        inspect(config(tmp_path, values))
    kept = FileSource(config(tmp_path, values, on_bad_row=OnBadRow.skip))
    assert [r.prompt.text for r in kept.records("demonstrations")] == ["Guest 0:"]  # type: ignore[union-attr]
    assert len(FileSource(config(tmp_path, values, ignore=[name])).records("demonstrations")) == 2


@pytest.mark.parametrize("record", ["prompts", "rankings", "documents"])
def test_invalid_rows_are_learnt_by_no_record_type(tmp_path: Path, record: str) -> None:
    row = {"prompt": "q", "chosen": "a", "rejected": "b", "text": "c"}
    rows = [row | {"prompt": f"{i}?", "text": f"{i}.", "valid": i < 2} for i in range(3)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    named: dict[str, Any] = {record: str(path)}
    given = FilesConfig(**named)
    with pytest.raises(UserError, match=":3: valid: is False, which leaves the row out"):
        inspect(given)
    with pytest.warns(UserWarning, match="2 of 3 rows kept"):
        kept = FileSource(replace(given, on_bad_row=OnBadRow.skip))
    assert len(kept.records(record)) == 2  # type: ignore[arg-type]
