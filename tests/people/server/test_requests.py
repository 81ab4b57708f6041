"""Tests of what the pages may send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from preflab_people.server.answers import Refused
from preflab_people.server.requests import (
    LONGEST_NOTE,
    LONGEST_TEXT,
    ShownAnswer,
    Submission,
    parse,
    read_answer,
    read_draft,
    read_login,
    read_submission,
    read_survey,
)

SENT = {
    "task": "0123abcd",
    "key": "a-key-of-one-answer",
    "answer": {"ranks": [1, None], "flags": [["rude"], []], "notes": "ok"},
    "seconds": 3,
    "instructions": 2,
}


def refused(code: str, work: Any, *arguments: Any) -> None:
    with pytest.raises(Refused) as problem:
        work(*arguments)
    assert problem.value.code == code
    assert problem.value.status in (400, 422)


def test_a_submission_is_read_as_a_record() -> None:
    answer = ShownAnswer(ranks=(1, None), flags=(("rude",), ()), notes="ok")
    assert read_submission(SENT) == Submission("0123abcd", "a-key-of-one-answer", answer, 3.0, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"task": ""},
        {"task": "../../etc"},
        {"task": 3},
        {"key": "short"},
        {"key": "with space in it"},
        {"seconds": -1},
        {"seconds": True},
        {"seconds": 1e9},
        {"seconds": "3"},
        {"seconds": int("9" * 401)},  # no float is as large
        {"instructions": 1.5},
        {"instructions": True},
        {"answer": None},
        {"answer": []},
        {"answer": {"rank": [1]}},
        {"answer": {"ranks": [0]}},
        {"answer": {"ranks": [1.0]}},
        {"answer": {"ranks": [True]}},
        {"answer": {"ranks": "12"}},
        {"answer": {"ranks": [1] * 65}},
        {"answer": {"likert": [8]}},
        {"answer": {"flags": ["rude"]}},
        {"answer": {"flags": [["rude", "rude"]]}},
        {"answer": {"flags": [[1]]}},
        {"answer": {"notes": 1}},
        {"labeler": "labeler-aaaa"},
    ],
    ids=str,
)
def test_a_field_that_is_wrong_is_refused(change: dict[str, Any]) -> None:
    refused("field", read_submission, {**SENT, **change})


def test_texts_are_bounded_and_hold_what_every_database_can() -> None:
    assert read_answer({"written": "x" * LONGEST_TEXT, "notes": "y" * LONGEST_NOTE})
    refused("too_long", read_answer, {"written": "x" * (LONGEST_TEXT + 1)})
    refused("too_long", read_answer, {"notes": "x" * (LONGEST_NOTE + 1)})
    for text in ("a\0b", "a\ud800b", json.loads('"\\udfff"')):
        refused("characters", read_answer, {"notes": text})
    fine = "tab\t line\n bidi \u202e zero \u200b 👩\u200d🔬"
    assert read_answer({"notes": fine}).notes == fine


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b"null", b'{"a":NaN}', b'{"a":1,"a":2}', b"\xff", b"[" * 60_000],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    refused("json", parse, body)


def test_a_token_has_the_form_of_one() -> None:
    assert read_login({"token": "wi8U1ZvLIB1qUajhsYbFVQ"}) == "wi8U1ZvLIB1qUajhsYbFVQ"
    for token in ("", "short", "x" * 200, "' OR 1=1 --        ", None, 5):
        refused("field", read_login, {"token": token})


def test_a_draft_is_of_our_own_form() -> None:
    body = {"answer": {"ranks": [None]}, "seconds": 3, "step": 1, "better": True, "changes": 7}
    assert read_draft({"task": "t", "body": body}).body == body
    refused("field", read_draft, {"task": "t", "body": {**body, "html": "<b>"}})
    refused("field", read_draft, {"task": "t", "body": {**body, "answer": {"ranks": ["<b>"]}}})
    refused("field", read_draft, {"task": "t", "body": {**body, "better": 1}})
    refused("field", read_draft, {"task": "t", "body": {**body, "seconds": int("9" * 401)}})
    refused("field", read_draft, {"task": "t"})


def test_a_survey_has_known_questions() -> None:
    row = {"answers": {"age": "25-34", "ethnicity": ["black", "latinx"]}, "link": False}
    kept = {"age": ["25-34"], "ethnicity": ["black", "latinx"]}
    assert read_survey(row) == {"answers": kept, "link": False}
    refused("field", read_survey, {"answers": {"name": "Jo"}, "link": False})
    refused("field", read_survey, {"answers": {}, "link": "yes"})
    refused("too_long", read_survey, {"answers": {"age": "x" * 101}, "link": False})
