"""A value of another type is the value that it spells, or it is refused; never the opposite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.rows import BadRow
from preflab_builtin.files.config import FilesConfig, OnBadRow
from preflab_builtin.files.source import FileSource
from preflab_builtin.files.values import blank, numeric, structured, truth

TRUE: list[Any] = [
    True,
    1,
    1.0,
    "1",
    "1.0",
    "true",
    "True",
    " TRUE ",
    "yes",
    "Y",
    "on",
    "desirable",
    "up",
    "Pass",
    "✓",
]
FALSE: list[Any] = [
    False,
    0,
    0.0,
    -1,
    "0",
    "0.0",
    "-1",
    "false",
    "False",
    "FALSE",
    "no",
    "N",
    "off",
    "failed",
    "✗",
]
NEITHER: list[Any] = [None, "", 2, 0.5, "maybe", "none", [], [True], {}, float("nan")]


def test_truth() -> None:
    assert [truth(value, "x") for value in TRUE] == [True] * len(TRUE)
    assert [truth(value, "x") for value in FALSE] == [False] * len(FALSE)
    for value in NEITHER:
        with pytest.raises(BadRow, match=r"^x: is .*must be true or false"):
            truth(value, "x")


@pytest.mark.parametrize("field", ["label", "kto_tag"])
@pytest.mark.filterwarnings("ignore:.*rows kept")
def test_nobody_learns_what_was_disliked(tmp_path: Path, field: str) -> None:
    values = [*TRUE, *FALSE, *NEITHER[:-1]]
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"q{i}", "completion": "a", field: v} for i, v in enumerate(values)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = FilesConfig(demonstrations=str(path), on_bad_row=OnBadRow.skip)
    (parsed,) = FileSource(config).parsed.values()
    assert [r.prompt.text for r in parsed.records] == [f"q{i}" for i in range(len(TRUE))]  # type: ignore[union-attr]
    assert (parsed.total, len(parsed.rejected)) == (len(values), len(values) - len(TRUE))
    assert len(FileSource(FilesConfig(prompts=str(path))).records("prompts")) == len(values)


def test_nobody_learns_what_was_disliked_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("prompt,completion,label\nq,a,True\nr,b,False\n")
    with pytest.raises(UserError, match=r"rows\.csv:3: label: is false: a completion that people"):
        FileSource(FilesConfig(demonstrations=str(path)))


def test_numbers() -> None:
    assert [numeric(v, "x") for v in (3, 1.5, "2", " 2.5 ", "-1e3")] == [3, 1.5, 2, 2.5, -1000]
    for value in (True, None, "two", "", "nan", "inf", float("inf"), [1]):
        with pytest.raises(BadRow, match=r"^x: "):
            numeric(value, "x")


def test_lists_that_were_written_as_texts() -> None:
    rows = [{"a": "it's"}]
    assert structured(json.dumps(rows)) == structured(repr(rows)) == rows
    for text in ("[1] see below", "[{broken", "{'a': open()}", "plain", "[[", "3", "['a' 'b']"):
        assert structured(text) == text


def test_what_says_nothing() -> None:
    assert all(map(blank, (None, "", " \n", [], (), {}, [None, ""], {"a": []}, float("nan"), "[]")))
    assert not any(map(blank, (0, False, "0", [0], {"a": "x"}, "nan")))
