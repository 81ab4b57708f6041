"""Votes of Chatbot Arena."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab_people.exchange import fastchat
from preflab_people.exchange.fastchat import BOTH_BAD
from preflab_people.exchange.formats import read
from preflab_people.exchange.labels import Imported
from preflab_people.judgments import Answer


def _talk(*said: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)]


def _vote(winner: str, judge: str = "arena_user_1.2.3.4", **values: Any) -> dict[str, Any]:
    return {
        **{
            "question_id": "q1",
            "model_a": "vic",
            "model_b": "ala",
            "winner": winner,
            "judge": judge,
        },
        **{"conversation_a": _talk("Hi", "Hello!"), "conversation_b": _talk("Hi", "Hey")},
        **{"turn": 1, "anony": True, "language": "English", "tstamp": 1700000000.0},
        **values,
    }


def _read(tmp_path: Path, *rows: Any) -> Imported:
    path = tmp_path / "votes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read("fastchat", path, b"secret")


def test_votes_of_four_people_on_one_pair(tmp_path: Path) -> None:
    winners = ["model_a", "model_b", "tie", "tie (bothbad)"]
    found = _read(tmp_path, *(_vote(w, f"arena_user_{i}") for i, w in enumerate(winners)))
    (task,) = found.labels.tasks
    assert (task.kind, task.arms, task.responses) == (
        "compare",
        (("vic",), ("ala",)),
        ("Hello!", "Hey"),
    )
    assert (task.prompt.id, task.prompt.tags) == ("q1", ("English",))
    assert [j.answer for j in found.labels.judgments] == [
        Answer(ranks=(1, 2), flags=((), ())),
        Answer(ranks=(2, 1), flags=((), ())),
        Answer(ranks=(1, 1), flags=((), ())),
        Answer(ranks=(1, 1), flags=((BOTH_BAD,), (BOTH_BAD,))),
    ]
    assert found.labels.judgments[0].at == "2023-11-14T22:13:20+00:00"


def test_columns_that_are_not_read_are_told(tmp_path: Path) -> None:
    found = _read(tmp_path, _vote("tie", toxic_chat_tag={"flagged": True}))
    assert found.remarks == ("Not read: toxic_chat_tag (in 1 rows).",)


def test_people_come_under_pseudonyms(tmp_path: Path) -> None:
    found = _read(tmp_path, _vote("tie"))
    (person,) = found.labels.people
    assert "1.2.3.4" not in person.id
    assert found.names == {person.id: "arena_user_1.2.3.4"}


def test_the_turn_of_the_vote_is_what_was_judged(tmp_path: Path) -> None:
    """MT-bench: one conversation of two turns, a vote on each. The second has no common prompt."""
    talks: dict[str, Any] = {
        "conversation_a": _talk("Hi", "Hello!", "More", "Yes"),
        "conversation_b": _talk("Hi", "Hey", "More", "No"),
    }
    found = _read(tmp_path, _vote("model_a", turn=1, **talks), _vote("model_b", turn=2, **talks))
    assert [t.responses for t in found.labels.tasks] == [("Hello!", "Hey")]
    assert found.remarks[0].startswith("1 votes are about conversations that differ before")


def test_later_turns_of_one_question_are_other_prompts(tmp_path: Path) -> None:
    talk = _talk("Hi", "Hello!", "More", "Yes")
    talks: dict[str, Any] = {
        "conversation_a": talk,
        "conversation_b": [*talk[:3], *_talk("", "No")[1:]],
    }
    found = _read(tmp_path, _vote("model_a"), _vote("model_b", turn=2, **talks))
    assert [task.prompt.id for task in found.labels.tasks] == ["q1", "q1-turn-2"]


def test_votes_that_were_not_blind_are_left_out_and_counted(tmp_path: Path) -> None:
    found = _read(tmp_path, _vote("tie", anony=False), _vote("model_a"), _vote("model_b"))
    assert [j.answer.ranks for j in found.labels.judgments] == [(1, 2)]
    assert [remark[:40] for remark in found.remarks] == [
        "1 votes were given after the names of th",
        "1 votes are second votes of one person o",
    ]


def test_equal_texts_of_other_models_are_another_task(tmp_path: Path) -> None:
    found = _read(tmp_path, _vote("tie"), _vote("tie", model_b="gpt"))
    assert [t.arms[1] for t in found.labels.tasks] == [("ala",), ("gpt",)]


def _logged(kind: str, models: list[str]) -> dict[str, Any]:
    """A row of the server's log."""
    states = [
        {
            "conv_id": "c1",
            "model_name": name,
            "offset": 1,
            "messages": [["Human", "example"], ["Human", "Hi"], ["Assistant", text]],
        }
        for name, text in (("vic", "Hello!"), ("ala", "Hey"))
    ]
    return {
        "type": kind,
        "models": models,
        "states": states,
        "ip": "1.2.3.4",
        "tstamp": 1.0,
    }


def test_the_servers_log(tmp_path: Path) -> None:
    """The first row is a chat; the second a blind vote; the third was given with names shown."""
    found = _read(
        tmp_path,
        {"type": "chat", "states": []},
        _logged("rightvote", ["", ""]),
        _logged("leftvote", ["<h3>Model A: vic</h3>\n", "<h3>Model B: ala</h3>\n"]),
    )
    (task,) = found.labels.tasks
    assert task.arms == (("vic",), ("ala",))
    assert task.prompt.messages[0].content == "Hi"
    assert [j.answer.ranks for j in found.labels.judgments] == [(2, 1)]
    assert "1.2.3.4" not in found.labels.people[0].id
    assert len(found.remarks) == 1


@pytest.mark.parametrize(
    "row, expected",
    [
        (_vote("both"), "winner: is 'both'. Allowed: model_a, model_b, tie, "),
        (
            _vote("tie", conversation_a=[]),
            "conversation_a: is a list but must be a list of messages",
        ),
        (_vote("tie", conversation_b=_talk("Hi")), "conversation_b: must end with an answer"),
        (_vote("tie", model_a=3), "model_a: is a number but must be a text"),
        (_vote("tie", "another", tstamp=1e30), "tstamp: is 1e.30, which is no time"),
        (_logged("tievote", ["a"]), "states: has 2 conversations, but a vote is about two"),
    ],
)
def test_a_bad_vote_is_refused_by_line(tmp_path: Path, row: Any, expected: str) -> None:
    with pytest.raises(UserError, match=rf"votes.jsonl:2: {expected}"):
        _read(tmp_path, _vote("tie"), row)


def test_examples() -> None:
    assert doctest.testmod(fastchat).failed == 0
