"""Options that are for one file of several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.records import Ranking
from preflab_builtin.files.config import FilesConfig, SplitNames, VerdictColumns
from preflab_builtin.files.source import FileSource, inspect

_TOLD = VerdictColumns(winner="who", first=["p"], second=["q"])
_ROWS: dict[str, list[dict[str, Any]]] = {
    "prompts": [{"prompt": f"Ask {i}?"} for i in range(4)],
    "judged": [
        {"question": f"{i}?", "answer_a": f"x{i}", "answer_b": f"y{i}", "who": "pq"[i % 2]}
        for i in range(4)
    ],
    "liked": [
        {"prompt": f"{i // 2}?", "completion": f"x{i}", "label": bool(i % 2)} for i in range(4)
    ],
    "shown": [{"prompt": f"{i}?", "completion": f"x{i}"} for i in range(4)],
}


def given(folder: Path, more: Any = (), **names: str) -> dict[str, Any]:
    """Paths of files, by record type. more: columns of the rows of `judged`."""
    for name, rows in _ROWS.items():
        extra = dict(more) if name == "judged" else {}
        text = "".join(json.dumps(row | extra) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return {record: str(folder / f"{name}.jsonl") for record, name in names.items()}


def rankings(config: FilesConfig) -> list[Any]:
    found = FileSource(config).records("rankings")
    return [r.preferences for r in found if isinstance(r, Ranking)]


@pytest.mark.parametrize(
    "paths,options,expected",
    [
        (
            {"prompts": "prompts", "demonstrations": "shown", "rankings": "judged"},
            {"verdict": _TOLD},
            [((0, 1),), ((1, 0),)] * 2,
        ),
        (
            {"prompts": "prompts", "rankings": "judged"},
            {"verdict": _TOLD, "format": "compared"},
            [((0, 1),), ((1, 0),)] * 2,
        ),
        ({"prompts": "prompts", "rankings": "liked"}, {"format": "kto"}, [((1, 0),)] * 2),
    ],
)
def test_an_option_is_for_the_file_in_which_it_means_something(
    tmp_path: Path, paths: dict[str, str], options: Any, expected: Any
) -> None:
    config = FilesConfig(**given(tmp_path, **paths), **options)
    assert rankings(config) == expected
    assert len(FileSource(config).records("prompts")) == 4


@pytest.mark.parametrize("option", ["user", "group", "split"])
def test_a_column_that_one_file_lacks_is_told(tmp_path: Path, option: str) -> None:
    paths = given(tmp_path, {"mine": "test"}, prompts="prompts", rankings="judged")
    named: dict[str, Any] = {option: "mine"}
    config = FilesConfig(**paths, verdict=_TOLD, **named)
    (record, *_) = FileSource(config).records("rankings")
    assert isinstance(record, Ranking)
    assert getattr(record.prompt, option) == "test"
    told = f"prompts: no row at the file's start has the column 'mine', so that data.{option}"
    assert any(notice.startswith(told) for notice in inspect(config).notices)


@pytest.mark.parametrize(
    "paths,options,expected",
    [
        (
            {"demonstrations": "shown"},
            {"verdict": _TOLD},
            "data.verdict.winner: is for rankings, and only demonstrations are given",
        ),
        ({"prompts": "prompts"}, {"format": "kto"}, "'kto' gives rankings, but no prompts"),
        (
            {"prompts": "prompts", "rankings": "judged"},
            {"verdict": VerdictColumns(winner="woh")},
            "data.verdict.winner: no row has a column 'woh'.*'who'",
        ),
        (
            {"prompts": "prompts", "demonstrations": "shown"},
            {"user": "mine"},
            "mine: the config names this column, but the row has none",
        ),
        (
            {"prompts": "prompts"},
            {"splits": SplitNames(test=["dev2"])},
            "data.splits.test: no row is in a split 'dev2'",
        ),
    ],
)
def test_an_option_that_no_file_has_a_use_for_is_refused(
    tmp_path: Path, paths: dict[str, str], options: Any, expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        FileSource(FilesConfig(**given(tmp_path, **paths), **options))


def test_a_document_has_no_user_and_no_group(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "a b", "author": "x", "group": "y"}\n')
    (tmp_path / "asked.jsonl").write_text('{"prompt": "a b", "author": "x"}\n')
    texts, asked = (str(tmp_path / f"{name}.jsonl") for name in ("texts", "asked"))
    with pytest.raises(UserError, match=r"data.group: a document has no user and no group"):
        FileSource(FilesConfig(documents=texts, group="author"))
    found = inspect(FilesConfig(documents=texts, prompts=asked, group="author"))
    assert "documents: columns that are not read: author, group (all rows)." in found.notices
    assert any("data.group counts for the other files alone" in said for said in found.notices)
