"""Exports of Argilla and Label Studio: every person's order of the answers is a ranking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.records import Message

from .test_published import read

_FIELDS = {"prompt": "Say hi.", "response-1": "No.", "response-2": "Hi!"}
_FLAT = {
    "id": "r1",
    "status": "completed",
    "_server_id": "s1",
    **_FIELDS,
    "source": "web",
    "order.responses": [["response-2", "response-1"], ["response-1", "response-2"], ["x"]],
    "order.responses.users": ["u1", "u2", "u3"],
    "order.responses.status": ["submitted", "submitted", "draft"],
    "order.suggestion": ["response-1", "response-2"],
    "order.suggestion.score": None,
    "quality.responses": [5],
    "quality.responses.users": ["u1"],
    "quality.responses.status": ["submitted"],
}
_NESTED = {
    "id": "r1",
    "status": "completed",
    "_server_id": "s1",
    "fields": _FIELDS,
    "metadata": {"source": "web"},
    "suggestions": {"order": {"value": ["response-1", "response-2"]}},
    "responses": {
        "order": [
            {"value": ["response-2", "response-1"], "user_id": "u1"},
            {"value": ["response-1", "response-2"], "user_id": "u2"},
        ]
    },
    "vectors": {},
}
_FIRST_VERSION = {
    **_FIELDS,
    "order": [
        {
            "user_id": "u1",
            "value": [{"rank": 2, "value": "response-1"}, {"rank": 1, "value": "response-2"}],
            "status": "submitted",
        },
        {
            "user_id": "u2",
            "value": [{"rank": 1, "value": "response-1"}, {"rank": 2, "value": "response-2"}],
            "status": "submitted",
        },
        {"user_id": "u3", "value": None, "status": "discarded"},
    ],
    "order-suggestion": None,
    "external_id": None,
    "metadata": "{}",
}
_CHOSEN = {
    **{k: v for k, v in _FLAT.items() if "order" not in k},
    "best.responses": ["Response 2", "response_1"],
    "best.responses.users": ["u1", "u2"],
}


@pytest.mark.parametrize(
    "row,settings",
    [(_FLAT, {}), (_NESTED, {}), (_CHOSEN, {}), (_FIRST_VERSION, {"format": "argilla"})],
    ids=["flat", "nested", "a label", "version 1"],
)
def test_argilla(tmp_path: Path, row: Any, settings: Any) -> None:
    rankings = read(tmp_path, "rankings", row, **settings)
    assert {r.prompt.messages for r in rankings} == {(Message("user", "Say hi."),)}
    assert [(r.responses, r.preferences, r.labeler) for r in rankings] == [
        (("No.", "Hi!"), ((1, 0),), "u1"),
        (("No.", "Hi!"), ((0, 1),), "u2"),
    ]
    (prompt,) = read(tmp_path, "prompts", row, **settings)
    assert prompt.id == rankings[0].prompt.id


def test_written_answers_of_argilla(tmp_path: Path) -> None:
    row = {"_server_id": "s", "instruction": "Say hi.", "response.responses": ["Hi!"]}
    (demonstration,) = read(tmp_path, "demonstrations", row)
    assert (demonstration.prompt.messages[0].content, demonstration.response) == ("Say hi.", "Hi!")


@pytest.mark.parametrize(
    "change,expected",
    [
        ({"order.responses": None}, "responses: nobody has submitted an order"),
        ({"order.responses.status": ["draft"] * 3}, "responses: nobody has submitted"),
        ({"response-2": ""}, "fields: 1 of them are answers"),
        ({"prompt": None}, "fields: .*none is a question. Allowed names: prompt, instruction"),
        ({"context": "Be rude."}, "context: holds a part of the conversation"),
        (
            {"taste.responses": [["response-2", "response-1"]]},
            r"responses: order and taste both .*: rankings.ignore=\[taste.responses\]",
        ),
    ],
)
def test_an_argilla_record_that_is_no_ranking(tmp_path: Path, change: Any, expected: str) -> None:
    with pytest.raises(UserError, match=rf"jsonl:1: {expected}"):
        read(tmp_path, "rankings", {**_FLAT, **change})


def task(data: dict[str, Any], *results: Any, **annotation: Any) -> dict[str, Any]:
    return {
        "id": 5,
        "data": data,
        "annotations": [{"completed_by": 3, "result": list(results), **annotation}],
        "predictions": [],
        "project": 1,
    }


_DATA = {"prompt": "Say hi.", "answer1": "No.", "answer2": "Hi!"}
_LIST = {"prompt": "Say hi.", "items": [{"id": "x", "body": "No."}, {"id": "y", "body": "Hi!"}]}


def result(kind: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "value": value, "from_name": kind, "to_name": "answer1,answer2"}


@pytest.mark.parametrize(
    "row",
    [
        task(_DATA, result("pairwise", {"selected": "right"})),
        task(_DATA, result("rating", {"rating": 4}), result("choices", {"choices": ["Answer 2"]})),
        task(_LIST, result("ranker", {"ranker": {"rank": ["y", "x"]}})),
        task(_LIST, result("ranker", {"ranker": {"good": ["y"], "bad": ["x"]}})),
    ],
    ids=["pairwise", "choices", "ranker", "buckets"],
)
def test_label_studio(tmp_path: Path, row: Any) -> None:
    (ranking,) = read(tmp_path, "rankings", row)
    assert (ranking.prompt.id, ranking.prompt.messages) == ("5", (Message("user", "Say hi."),))
    assert (ranking.responses, ranking.preferences) == (("No.", "Hi!"), ((1, 0),))
    assert ranking.labeler == "3"
    assert len(read(tmp_path, "prompts", row)) == 1


def test_a_pair_without_a_selected_side_is_a_tie(tmp_path: Path) -> None:
    (ranking,) = read(tmp_path, "rankings", task(_DATA, result("pairwise", {})))
    assert (ranking.preferences, ranking.ties) == ((), ((0, 1),))


def test_who_chooses_the_best_does_not_compare_the_others(tmp_path: Path) -> None:
    data = {**_DATA, "answer3": "Hm."}
    row = task(data, result("choices", {"choices": ["Answer 2"]}))
    (ranking,) = read(tmp_path, "rankings", row)
    assert ranking.preferences == ((1, 0), (1, 2))
    assert (ranking.unjudged, ranking.ties) == (((0, 2),), ())


def test_written_answers_of_label_studio(tmp_path: Path) -> None:
    remark = {**result("textarea", {"text": ["I was tired."]}), "from_name": "notes"}
    row = task({"prompt": "Say hi."}, result("textarea", {"text": ["Hi!"]}), remark)
    (written,) = read(tmp_path, "demonstrations", row)
    assert (written.response, written.labeler) == ("Hi!", "3")


@pytest.mark.parametrize(
    "row,expected",
    [
        (task(_DATA, was_cancelled=True), "annotations: none of them holds a comparison"),
        (task(_DATA, result("rating", {"rating": 4})), "annotations: none of them holds a comp"),
        (task(_DATA, result("pairwise", {"selected": "both"})), "selected: is 'both'"),
        (task({**_DATA, "image": "a.png"}), "image: holds images"),
        (task({"words": "x"}), "fields: words: none is a question"),
        (
            task(_LIST, result("ranker", {"ranker": {"good": ["y"], "bad": ["z"]}})),
            "ranker: must be lists with the id of every item once: x, y",
        ),
        ({**task(_DATA), "annotations": 3}, "annotations: is a number"),
        ({**task(_DATA), "data": "x"}, "data: is a text"),
    ],
)
def test_a_task_that_is_no_ranking(tmp_path: Path, row: Any, expected: str) -> None:
    with pytest.raises(UserError, match=rf"jsonl:1: {expected}"):
        read(tmp_path, "rankings", row)
