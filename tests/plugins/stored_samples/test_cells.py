"""Cells as texts, right answers and scores: a value is itself or refused, never its opposite."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from preflab.records import Message
from preflab.rows import BadRow
from preflab_builtin.stored_samples.cells import (
    answers,
    likely_separator,
    prompt,
    score,
    text,
    value,
    without_reasoning,
)


@pytest.mark.parametrize(
    "cell,number",
    [
        (True, 1.0),
        (False, 0.0),
        ("False", 0.0),
        ("no", 0.0),
        ("FAIL", 0.0),
        ("failed ", 0.0),
        ("incorrect", 0.0),
        ("n", 0.0),
        ("0", 0.0),
        (0, 0.0),
        ("yes", 1.0),
        ("Pass", 1.0),
        ("correct", 1.0),
        ("1", 1.0),
        ("win", 1.0),
        ("tie", 0.5),
        ("-2.5", -2.5),
        (4, 4.0),
    ],
)
def test_a_score_is_the_value_that_it_is(cell: object, number: float) -> None:
    assert score({"s": cell}, "s")[0] == number


@pytest.mark.parametrize("cell", ["", "maybe", "n/a", "nan", "inf", [1], {"a": 1}, None])
def test_what_is_no_score_is_refused(cell: object) -> None:
    with pytest.raises(BadRow, match=r"s: (must be a finite number or a word|is null)"):
        score({"s": cell}, "s")


@pytest.mark.parametrize(
    "texts,cure",
    [
        (("4,5", "1,234.5", "-3,0"), "write 4.5 for 4,5"),
        (("85%", "8,5 %"), "write numbers, 85 for 85%"),
        (("3/5", "4 / 5", "3 out of 5"), "3 or 0.6 for 3/5"),
    ],
)
def test_a_kind_of_number_that_is_not_read_is_named_once(texts: tuple[str, ...], cure: str) -> None:
    reasons = set()
    for cell in texts:
        with pytest.raises(BadRow) as refusal:
            score({"s": cell}, "s")
        reasons.add(str(refusal.value))
    (reason,) = reasons  # the same words for all, so that rows are counted together
    assert cure in reason


@pytest.mark.parametrize(
    "cell,rest",
    [
        ("<think>Rome?</think>\n\nParis", "Paris"),
        ("Rome? No.</think>Paris", "Paris"),  # the prompt began the block
        ("<think>a</think> b <think>c</think> d", "d"),
        ("<thinking>Rome, or", ""),
        ("Paris <think> ", "Paris <think> "),
        (" Paris ", " Paris "),
    ],
)
def test_what_stands_after_the_reasoning(cell: str, rest: str) -> None:
    assert without_reasoning(cell) == rest


@pytest.mark.parametrize("as_text", [str, json.dumps, lambda cell: cell])
def test_the_answers_of_squad_are_named(as_text: Callable[[Any], Any]) -> None:
    row = {"answers": as_text({"text": ["Paris"], "answer_start": [3]})}
    with pytest.raises(BadRow, match=r"Name a part of it: answers\.text, answers\.answer_start"):
        answers(row, "answers", None)
    assert answers(row, "answers.text", None) == ["Paris"]
    assert answers({"a": '{"text": "an answer in JSON"}'}, "a", None) == [
        '{"text": "an answer in JSON"}'
    ]


@pytest.mark.parametrize(
    "cell,separator,expected",
    [
        ("Paris", None, ["Paris"]),
        ("Paris; Lutetia ;", ";", ["Paris", "Lutetia"]),
        ("Paris; Lutetia", None, ["Paris; Lutetia"]),
        (["Paris", "Lutetia"], None, ["Paris", "Lutetia"]),
        (("Paris", 7), ";", ["Paris", "7"]),
        ('["Paris", "Lutetia"]', None, ["Paris", "Lutetia"]),
        ("['Paris', 'l\\'île']", None, ["Paris", "l'île"]),
        ("[1] Paris", None, ["[1] Paris"]),
        ("[citation needed]", None, ["[citation needed]"]),
        (42, None, ["42"]),
        ("", None, []),
        (None, None, []),
        ([], None, []),
    ],
)
def test_right_answers(cell: object, separator: str | None, expected: list[str]) -> None:
    assert answers({"a": cell}, "a", separator) == expected


@pytest.mark.parametrize("cell", [True, {"text": ["a"]}, [["a"]], [None], "['a' 'b']"])
def test_what_is_no_right_answer_is_refused(cell: object) -> None:
    with pytest.raises(BadRow, match=r"a: (must be a text or a list of texts|is a printed array)"):
        answers({"a": cell}, "a", None)


def test_a_part_of_an_object_is_named_with_a_dot() -> None:
    row: dict[str, Any] = {"a": {"text": ["x"], "start": 1}}
    assert value(row, "a.text") == ["x"]
    with pytest.raises(BadRow, match=r"a: must be a text.*Name a part of it: a\.text, a\.start"):
        text(row, "a")
    with pytest.raises(BadRow, match=r"texts: is not a column.*'text'"):
        value(row, "a.texts")


@pytest.mark.parametrize(
    "cells,found",
    [
        (["a; b", "c", "d;e"], (";", 2)),
        (["a ||| b", "c|||d"], ("|||", 2)),
        (["a|b"] * 3 + ["c"] * 3, ("|", 3)),
        (["one; by chance", *["no such thing"] * 30], None),
        ([], None),
    ],
)
def test_a_likely_separator(cells: list[str], found: tuple[str, int] | None) -> None:
    assert likely_separator(cells) == found


CONVERSATION = [
    {"role": "system", "content": ""},
    {"role": "user", "content": "Hello?"},
]


@pytest.mark.parametrize("cell", [CONVERSATION, json.dumps(CONVERSATION)])
def test_a_conversation_stays_one(cell: object) -> None:
    asked = prompt({"p": cell}, "p", "f:1", rendered=False)
    assert asked.messages == (Message("system", ""), Message("user", "Hello?"))
    assert asked.text == "\n\nHuman: Hello?\n\nAssistant:"
    plain = prompt({"p": "<s>Hello?"}, "p", "f:1", rendered=True)
    assert (plain.text, plain.messages, plain.rendered) == ("<s>Hello?", (), True)
    assert text({"p": [{"role": "assistant", "content": "Hi."}]}, "p") == "Hi."


@pytest.mark.parametrize(
    "cell,message",
    [
        ([{"role": "assistant", "content": "Hi."}], "p: ends with the assistant"),
        ([{"role": "user", "content": "x", "tool_calls": [1]}], r"p\[0\]\.tool_calls: is not read"),
        ([{"role": "usr", "content": "x"}], r"p\[0\]\.role: is 'usr'"),
        ([{"role": "user", "content": [{"type": "image"}]}], r"p\[0\]\.content: is a list"),
        ([{"text": "x"}], r"p\[0\]: must be a message"),
        ([], "p: must be a text or a list of messages"),
    ],
)
def test_what_is_no_prompt_is_refused(cell: object, message: str) -> None:
    with pytest.raises(BadRow, match=message):
        prompt({"p": cell}, "p", "f:1", rendered=False)
