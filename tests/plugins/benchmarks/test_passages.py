"""SQuAD, QuAC and DROP in the nested form of their authors, and as rows of the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.rows import Row
from preflab_builtin.benchmarks import passages


def _file(folder: Path, content: Any, name: str = "dev.json") -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder / name


def _questions(rows: list[Row]) -> list[Mapping[str, Any]]:
    assert all(row.problem is None for row in rows), [row.problem for row in rows]
    return [row.values for row in rows]


SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Normans",
            "paragraphs": [
                {
                    "context": "The Normans came from the north.",
                    "qas": [
                        {
                            "id": "a1",
                            "question": "Who came?",
                            "is_impossible": False,
                            "answers": [
                                {"text": "Normans", "answer_start": 4},
                                {"text": "The Normans", "answer_start": 0},
                            ],
                        },
                        {
                            "id": "a2",
                            "question": "When?",
                            "is_impossible": True,
                            "answers": [],
                            "plausible_answers": [{"text": "north", "answer_start": 26}],
                        },
                    ],
                }
            ],
        }
    ],
}


def test_squad_is_a_row_a_question(tmp_path: Path) -> None:
    rows = list(passages.squad(_file(tmp_path, SQUAD)))
    first, second = _questions(rows)
    assert first == {
        "title": "Normans",
        "context": "The Normans came from the north.",
        "question": "Who came?",
        "answers": {"text": ["Normans", "The Normans"]},
        "answerable": "HasAns",
    }
    # what is plausible is no answer
    assert (second["answers"], second["answerable"]) == ({"text": []}, "NoAns")
    assert rows[1].place.endswith("row 1, a2")


def test_squad_on_the_hub(tmp_path: Path) -> None:
    rows = [{"question": "When?", "answers": {"text": [], "answer_start": []}}]
    (row,) = _questions(list(passages.squad(_file(tmp_path, rows))))
    assert row["answerable"] == "NoAns"


QUAC_QUESTIONS = [
    ("q0", "Who?", ["the nurse", "nurse"], "the nurse"),
    ("q1", "Why?", ["red", "blue"], "red"),  # people do not agree: not asked
    ("q2", "When?", ["CANNOTANSWER", "CANNOTANSWER"], "CANNOTANSWER"),
]
HISTORY = "Q: Who?\nA: the nurse\nQ: Why?\nA: red\n"


def test_quac_has_the_dialogue_before_each_question(tmp_path: Path) -> None:
    qas = [
        {
            "id": name,
            "question": question,
            "answers": [{"text": text, "answer_start": 0} for text in answers],
            "orig_answer": {"text": original, "answer_start": 0},
        }
        for name, question, answers, original in QUAC_QUESTIONS
    ]
    paragraph = {"id": "d0", "context": "The nurse. CANNOTANSWER", "qas": qas}
    article = {"title": "A", "section_title": "B", "background": "C", "paragraphs": [paragraph]}
    first, last = _questions(list(passages.quac(_file(tmp_path, {"data": [article]}))))
    assert (first["history"], first["answers"]) == ("", ["the nurse", "nurse"])
    assert (last["question"], last["history"], last["title"]) == ("When?", HISTORY, "A, B")
    assert first["dialogue"] == last["dialogue"] == "d0"


def test_quac_on_the_hub_is_the_same(tmp_path: Path) -> None:
    row = {
        "dialogue_id": "d0",
        "wikipedia_page_title": "A",
        "section_title": "B",
        "background": "C",
        "context": "The nurse. CANNOTANSWER",
        "turn_ids": [name for name, *_ in QUAC_QUESTIONS],
        "questions": [question for _, question, *_ in QUAC_QUESTIONS],
        "answers": {"texts": [answers for *_, answers, _ in QUAC_QUESTIONS]},
        "orig_answers": {"texts": [original for *_, original in QUAC_QUESTIONS]},
    }
    first, last = _questions(list(passages.quac(_file(tmp_path, [row]))))
    assert (first["question"], last["question"]) == ("Who?", "When?")
    assert (last["history"], last["title"]) == (HISTORY, "A, B")


def _answer(number: str = "", spans: list[str] | None = None, day: str = "") -> dict[str, Any]:
    date = {"day": day, "month": "May" if day else "", "year": "1945" if day else ""}
    return {"number": number, "spans": spans or [], "date": date}


def test_drop_has_the_answers_of_everybody(tmp_path: Path) -> None:
    pairs: list[dict[str, Any]] = [
        {
            "query_id": "a",
            "question": "How many?",
            "answer": _answer(number="4"),
            "validated_answers": [_answer(number="5"), _answer()],
        },
        {"query_id": "b", "question": "Who?", "answer": _answer(spans=["Bears", "Lions"])},
        {"query_id": "c", "question": "When?", "answer": _answer(day="8")},
    ]
    content = {"nfl_1": {"passage": "They played.", "qa_pairs": pairs}}
    rows = list(passages.drop(_file(tmp_path, content)))
    assert [row["answers"] for row in _questions(rows)] == [
        ["4", "5"],
        ["Bears\nLions"],
        ["8 May 1945"],
    ]
    assert rows[0].values["passage"] == "They played."
    assert rows[1].place.endswith("dev.json:nfl_1, b")
    pairs[2]["answer"] = _answer()
    (bad,) = [row for row in passages.drop(_file(tmp_path, content)) if row.problem]
    assert "nfl_1: answer: holds neither a number, nor spans, nor a date" in (
        f"{bad.place}: {bad.problem}"
    )


def test_drop_as_rows(tmp_path: Path) -> None:
    others = {"number": ["5"], "spans": [[]], "date": [{"day": "", "month": "", "year": ""}]}
    row = {"passage": "x", "answer": _answer(number="4"), "validated_answers": others}
    (found,) = _questions(list(passages.drop(_file(tmp_path, row, "dev.jsonl"))))
    assert found["answers"] == ["4", "5"]
    mixed = {"passage": "x", "answers_spans": {"spans": ["4", "5"], "types": ["number"] * 2}}
    (bad,) = passages.drop(_file(tmp_path, mixed, "dev.jsonl"))
    assert "use the authors' drop_dataset_dev.json" in str(bad.problem)


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text("{")
    for read in (passages.squad, passages.drop):
        with pytest.raises(UserError, match=r"dev\.json: JSON"):
            list(read(tmp_path / "dev.json"))
