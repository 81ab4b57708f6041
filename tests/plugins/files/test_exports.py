"""Exports of Argilla and Label Studio: every person's order of the answers is a ranking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.records import Message, RecordType
from preflab_builtin.files.config import FilesConfig, RecordKind
from preflab_builtin.files.source import inspect

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


_BESIDE = {"source": "web", "group": "g", "split": "test", "tags": ["a"], "team": "nurses"}


@pytest.mark.parametrize(
    "row",
    [
        {**_NESTED, "metadata": _BESIDE},
        {**{k: v for k, v in _FLAT.items() if "quality" not in k}, **_BESIDE},
        {**_FIRST_VERSION, "metadata": json.dumps(_BESIDE)},
        task({**_DATA, **_BESIDE}, result("pairwise", {"selected": "right"})),
        task({**_DATA, "metadata": _BESIDE}, result("pairwise", {"selected": "right"})),
    ],
    ids=["nested", "flat", "version 1", "Label Studio", "its metadata"],
)
@pytest.mark.parametrize("record", ["prompts", "rankings"])
def test_what_stands_beside_the_answers_is_taken_or_told(
    tmp_path: Path, row: Any, record: RecordType
) -> None:
    """Also under another name, which the config says; and a column that it ignores is not told."""
    settings: dict[str, Any] = {"labeler_group": "team"}
    if "_server_id" not in row and "data" not in row:
        settings["format"] = "argilla"
    for ignore in ([], ["source"]):
        found = read(tmp_path, record, row, ignore=ignore, **settings)
        prompt = getattr(found[0], "prompt", found[0])
        assert (prompt.group, prompt.split, prompt.tags) == ("g", "test", ("a",))
        assert {getattr(one, "group", "") for one in found if record == "rankings"} <= {"nurses"}
        path = str(next(tmp_path.glob("*.jsonl")))
        given = FilesConfig(record=RecordKind(record), path=path, ignore=ignore, **settings)
        told = [n for n in inspect(given).notices if "not read" in n]
        assert len(told) == (not ignore)
        assert all("source (all rows)" in notice for notice in told)


def test_questions_that_no_record_holds_are_told(tmp_path: Path) -> None:
    """A rating beside the order, whatever tool asked for it; metadata that are no object."""
    rated = task(_DATA, result("pairwise", {"selected": "left"}), result("rating", {"rating": 4}))
    for row, name in (
        (_FLAT, "responses.quality"),
        (rated, "annotations[].rating"),
        ({**_NESTED, "metadata": "of the web"}, "metadata"),
        ({**_NESTED, "team": "nurses"}, "team"),
    ):
        read(tmp_path, "rankings", row)
        path = str(next(tmp_path.glob("*.jsonl")))
        notices = inspect(FilesConfig(record=RecordKind.rankings, path=path)).notices
        assert name in notices[0].partition("not read: ")[2]


def test_what_the_config_ignores_is_ignored_inside_the_fields(tmp_path: Path) -> None:
    """As the refusal of such a field advises."""
    for row in (
        {**_NESTED, "fields": {**_FIELDS, "context": "Be rude."}},
        task({**_DATA, "context": "Be rude."}, result("pairwise", {"selected": "left"})),
    ):
        with pytest.raises(UserError, match=r"context: .*rankings.ignore=\[context\]"):
            read(tmp_path, "rankings", row)
        assert read(tmp_path, "rankings", row, ignore=["context"])


def test_a_system_message_among_the_fields_is_read(tmp_path: Path) -> None:
    for row in (
        {**_NESTED, "fields": {**_FIELDS, "system": "Be kind."}},
        {**_FLAT, "system": "Be kind."},
        task({**_DATA, "system": "Be kind."}, result("pairwise", {"selected": "left"})),
    ):
        prompt = read(tmp_path, "rankings", row)[0].prompt
        assert [m.content for m in prompt.messages] == ["Be kind.", "Say hi."]
