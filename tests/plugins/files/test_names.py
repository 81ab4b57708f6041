"""What the config says about names: of columns, of splits, of the format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.options import problems
from preflab_builtin.files.config import ColumnNames, FilesConfig, RecordKind, SplitNames, Template
from preflab_builtin.files.source import FileSource


def read(tmp_path: Path, record_type: str, *rows: Any, **settings: Any) -> list[Any]:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = FilesConfig(record=RecordKind(record_type), path=str(path), **settings)
    return list(FileSource(config).records(RecordKind(record_type).value))


def test_columns_by_other_names(tmp_path: Path) -> None:
    columns = ColumnNames(prompt="frage", completion="antwort", system="rolle")
    row = {"frage": "q", "antwort": "a", "rolle": "Be brief."}
    (demonstration,) = read(tmp_path, "demonstrations", row, columns=columns)
    usual = {"prompt": "q", "completion": "a", "system": "Be brief."}
    assert [demonstration] == read(tmp_path, "demonstrations", usual)
    names = ColumnNames(prompt="q", completions="all", ranks="order")
    ranked = {"q": "q", "all": ["a", "b"], "order": [2, 1]}
    assert read(tmp_path, "rankings", ranked, columns=names)[0].preferences == ((1, 0),)


def test_a_column_that_is_named_must_be_there(tmp_path: Path) -> None:
    row = {"prompt": "q", "completion": "a", "system_prompt": "Be brief."}
    columns = ColumnNames(system="sytem_prompt")
    with pytest.raises(UserError, match=r"columns.system: .*Did you mean 'system_prompt'"):
        read(tmp_path, "demonstrations", {**row, "system_prompt": ""}, columns=columns)
    with pytest.raises(UserError, match="ignore: no row has a column 'sytem_prompt'"):
        read(tmp_path, "prompts", {"prompt": "q"}, ignore=["sytem_prompt"])


def test_two_columns_for_one_name(tmp_path: Path) -> None:
    row = {"prompt": "p", "question": "q"}
    columns = ColumnNames(prompt="question")
    with pytest.raises(UserError, match=r":1: prompt: and question, named by .*ignore=\[prompt\]"):
        read(tmp_path, "prompts", row, columns=columns)
    (prompt,) = read(tmp_path, "prompts", row, columns=columns, ignore=["prompt"])
    assert prompt.text == "q"


def test_columns_that_no_shape_has_name_the_cure(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"what your columns are called: demonstrations.columns.prompt=question"
    ):
        read(tmp_path, "demonstrations", {"question": "q", "reply": "a"})
    both = r"demonstrations.columns.prompt=query demonstrations.columns.completion=reply"
    with pytest.raises(UserError, match=both):
        read(tmp_path, "demonstrations", {"reply": "a", "query": "q"})
    with pytest.raises(UserError, match=r"columns.completion=response"):
        read(tmp_path, "demonstrations", {"prompt": "q", "response": "a"})


@pytest.mark.parametrize(
    "record_type,row,expected",
    [
        ("rankings", {"messages": []}, "They hold prompts or demonstrations or documents: give"),
        (
            "rankings",
            {"prompt": "q", "completion": "a", "label": True},
            "of 1 prompts have only liked",
        ),
        ("rankings", {"prompt": "q", "completions": ["a"], "labels": [True]}, "Stepwise superv"),
        ("documents", {"prompt": "q"}, "They hold prompts: give them there"),
    ],
)
def test_rows_of_another_record_type_say_so(
    tmp_path: Path, record_type: str, row: Any, expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        read(tmp_path, record_type, row)


def test_a_column_of_numbers_is_not_proposed_as_a_text(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"prompts.columns.prompt=ask$|prompts.columns.prompt=ask\n"
    ):
        read(tmp_path, "prompts", {"number": 5, "ask": "Who?"})


def test_splits_by_other_names(tmp_path: Path) -> None:
    rows = [{"prompt": name, "split": name} for name in ("fit", "eval", "dev", "holdout", "TRAIN")]
    splits = SplitNames(train=["fit"], validation=["eval"], test=["holdout", "dev"])
    prompts = read(tmp_path, "prompts", *rows, splits=splits)
    assert [p.split for p in prompts] == ["train", "validation", "test", "test", "train"]
    with pytest.raises(UserError, match=r":1: split: is 'fit'.*splits.train=\[fit\]"):
        read(tmp_path, "prompts", *rows)
    ((field, message),) = problems(SplitNames(train=["a"], test=["a", "b"]))
    assert (field, message) == ("train", "holds 'a', which is given twice")


@pytest.mark.parametrize(
    "names,expected",
    [
        ("train_prefs Eval validation_gen TRAIN_PREFS", "train test validation train"),
        ("Train test", "train test"),
        ("train_prefs train_sft", r":2: split: is 'train_sft'. 'train_prefs' is read as train too"),
        ("eval test", r":2: split: is 'test'. 'eval' is .*prompts.splits.test=\[test\]"),
        ("test eval", r":2: split: is 'eval'. 'test' is .*prompts.splits.test=\[eval\]"),
        ("train_test", r":1: split: is 'train_test'"),
    ],
)
def test_words_in_the_names_of_splits(tmp_path: Path, names: str, expected: str) -> None:
    """As in the names of files; but two names do not become one split in silence."""
    rows = [{"prompt": f"{i}", "split": name} for i, name in enumerate(names.split())]
    if not expected.startswith(":"):
        assert " ".join(p.split for p in read(tmp_path, "prompts", *rows)) == expected
        return
    with pytest.raises(UserError, match=expected):
        read(tmp_path, "prompts", *rows)


def test_rendered_texts_are_no_chats() -> None:
    config = FilesConfig(prompts="x", rendered=True, template=Template.chat)
    ((field, message),) = problems(config)
    assert (field, message.split(",")[0]) == ("rendered", "is true")


def test_a_format_is_one_and_fits(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.format is 'alpacca'\..*Did you mean 'alpaca'"):
        FileSource(FilesConfig(prompts="x", format="alpacca"))
    row = {"prompt": "q", "chosen": "a", "rejected": "b"}
    assert len(read(tmp_path, "rankings", row, format="preference")) == 1
    with pytest.raises(
        UserError, match=r"columns: .*: a row of format 'shp' has others. Allowed: history"
    ):
        read(tmp_path, "rankings", row, format="shp")
    with pytest.raises(UserError, match="'shp' gives prompts, rankings, but no documents"):
        read(tmp_path, "documents", row, format="shp")
