"""Rows of test sets as cases: every way to write a column, and every bad row by name."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.rows import hub
from preflab_builtin.benchmarks import config as c
from preflab_builtin.benchmarks.cases import by_group, choices, questions, sentences
from preflab_builtin.benchmarks.inspecting import inspect_questions


def _rows(folder: Path, *rows: Mapping[str, Any]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("correct", [1, "1", "two", [0, 1]])
def test_the_right_answer_by_number_text_or_marks(correct: object, tmp_path: Path) -> None:
    path = _rows(tmp_path, {"q": {"text": "why"}, "a": ["one", "two"], "k": correct})
    (case,) = choices(
        c.MultipleChoiceConfig(path=path, template="Q: {q.text}?", choices="a", correct="k")
    )
    assert (case.prompt, case.answers, case.right) == ("Q: why?", ("one", "two"), (False, True))


@pytest.mark.parametrize(
    "row,message",
    [
        ({"q": "x", "a": ["one", "two"]}, "rows.jsonl:2: k: is not a column"),
        ({"q": None, "a": ["one", "two"], "k": 0}, "rows.jsonl:2: q: is null"),
        ({"q": 3.5, "a": ["one", ""], "k": 0}, r"rows.jsonl:2: a\[1\]: is empty"),
        (
            {"q": "x", "a": ["one", "two"], "k": 2},
            "k: is 2 but must be 0 to 1: there are 2 choices",
        ),
        (
            {"q": "x", "a": ["one", "two"], "k": "three"},
            "k: is 'three' but must be a number from 0",
        ),
        ({"q": "x", "a": ["one", "two"], "k": True}, "k: is true or false but must be a number"),
        (
            {"q": "x", "a": ["one", "two"], "k": [1]},
            "k: must hold a 0 or 1 for each of the 2 choices",
        ),
        ({"q": "x", "a": ["one", "two"], "k": [1, 1]}, "k: makes every answer right"),
        ({"q": ["x"], "a": ["one", "two"], "k": 1}, "q: is a list but must be a text"),
    ],
)
def test_a_bad_row_is_named_with_file_line_and_field(
    row: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = _rows(tmp_path, {"q": "fine", "a": ["one", "two"], "k": 1}, row)
    with pytest.raises(UserError, match=message):
        choices(c.MultipleChoiceConfig(path=path, template="{q}", choices="a", correct="k"))


def test_right_and_wrong_answers_are_split_and_must_differ(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(
        'Question,Correct Answers,Incorrect Answers\nWhy?,one; two ,"three; four; three"\n'
    )
    options: dict[str, Any] = {
        "template": "{Question}",
        "right": ["Correct Answers"],
        "wrong": ["Incorrect Answers"],
    }
    (case,) = choices(c.MultipleChoiceConfig(path=str(path), separator=";", **options))
    assert case.answers == ("one", "two", "three", "four")
    assert case.right == (True, True, False, False)
    path.write_text("Question,Correct Answers,Incorrect Answers\nWhy?,one; two,two\n")
    with pytest.raises(
        UserError,
        match=r"truth.csv:2: Incorrect Answers: holds 'two', which is among the right answers",
    ):
        choices(c.MultipleChoiceConfig(path=str(path), separator=";", **options))


def test_equal_sentences_and_a_misspelt_column_are_refused(tmp_path: Path) -> None:
    path = _rows(tmp_path, {"sent_more": "a", "sent_less": "a"})
    with pytest.raises(UserError, match=r"rows.jsonl:1: sent_less: is the same sentence"):
        sentences(c.SentencePairsConfig(path=path))
    with pytest.raises(UserError, match=r"sent_mor: is not a column.*Did you mean 'sent_more'"):
        sentences(c.SentencePairsConfig(path=path, sentences=["sent_mor", "sent_less"]))


def test_the_chosen_rows_are_the_same_in_every_run(tmp_path: Path) -> None:
    path = _rows(tmp_path, *({"prompt": f"row {i}"} for i in range(50)))
    first = questions(c.GenerationConfig(path=path, rows=10))
    assert first == questions(c.GenerationConfig(path=path, rows=10))
    numbers = [int(case.prompt.split()[1]) for case in first]
    assert numbers == sorted(set(numbers))  # in the order of the file
    assert numbers != list(range(10))  # not only its beginning
    assert len(questions(c.GenerationConfig(path=path))) == 50


def test_a_template_reaches_columns_and_nothing_else(tmp_path: Path) -> None:
    path = _rows(tmp_path, {"q": "x"})
    with pytest.raises(UserError, match=r"q\.__class__: is not a column"):
        questions(c.GenerationConfig(path=path, template="{q.__class__}"))


def test_groups_are_named_and_together_they_are_all(tmp_path: Path) -> None:
    path = _rows(
        tmp_path, {"prompt": "x", "g": "b"}, {"prompt": "y", "g": "a"}, {"prompt": "z", "g": "b"}
    )
    cases = questions(c.GenerationConfig(path=path, group="g"))
    assert list(by_group(cases)) == [("", [0, 1, 2]), ("/a", [1]), ("/b", [0, 2])]


@pytest.mark.parametrize("where", ["folder", "hub"])
def test_a_test_set_in_a_datasets_folder_or_on_the_hub(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake `datasets`, which returns a sequence of rows."""
    rows = [
        {"question": "2 + 2?", "answers": {"text": ["4", "four"]}},
        {"question": "1 + 1?", "answers": {"text": ["2"]}},
    ]
    module = types.ModuleType("datasets")
    vars(module)["load_from_disk"] = lambda path: rows
    vars(module)["load_dataset"] = lambda *names, split, revision: {("me/sums", "test"): rows}[
        (*names, split)
    ]
    monkeypatch.setitem(sys.modules, "datasets", module)
    hub._loaded.cache_clear()
    (tmp_path / "dataset_info.json").write_text("{}")
    path = str(tmp_path) if where == "folder" else "hub://me/sums/test"
    metrics = [c.TextMetric.token_f1]
    config = c.GenerationConfig(
        path=path, template="Q: {question}", references=["answers.text"], metrics=metrics
    )
    assert [(q.prompt, q.references) for q in questions(config)] == [
        ("Q: 2 + 2?", ("4", "four")),
        ("Q: 1 + 1?", ("2",)),
    ]
    assert len(inspect_questions(config).content) == 64
    rows[1]["answers"] = {"text": []}
    with pytest.raises(UserError, match=r":row 2: answers\.text: holds no text"):
        questions(config)
