"""A session of preflab chat over runs that are not there: what is remembered, and the commands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from preflab.console import chat
from preflab.console.chat import Lane, Session
from preflab.engine.answering import Answer, AnsweringRun
from preflab.engine.opened import conversation
from preflab.errors import UserError, nearest
from preflab.records import Message, Prompt


class Echo:
    """Answers with its name, the number of turns, the seed and the temperature."""

    def __init__(self, title: str, talks: bool) -> None:
        self.title, self.role, self.talks = title, "result", talks

    def example(self) -> Prompt:
        return conversation([Message("user", "Hi")]) if self.talks else Prompt("p", "Hi")

    def roles(self) -> list[str]:
        return ["sft", "result"]

    def choose(self, role: str) -> str:
        if role not in self.roles():
            raise UserError(f"{self.title} has no model for {role}. {nearest(role, self.roles())}")
        self.role = role
        return role

    def unread(self, text: str) -> str | None:
        """It knows short words alone."""
        seen = " ".join(word for word in text.split() if len(word) < 5)
        return seen if seen != text else None

    def answers(
        self, prompt: Prompt, seed: Sequence[int | str], temperature: float | None
    ) -> Iterator[Answer]:
        text = f"{self.title} {len(prompt.messages)} {seed} {temperature}"
        for end in range(1, len(text) + 1):
            yield Answer(text[:end], end)
        yield Answer(text, len(text), ended=True, reward=1.5)


def _session(talks: bool, *titles: str) -> Session:
    return Session([Lane(cast(AnsweringRun, Echo(t, talks))) for t in titles], 1, None)


def _texts(session: Session, line: str) -> list[str]:
    *_, last = session.ask(line)
    return [answer.text for answer in last if answer is not None]


def test_help_names_the_roles_that_the_runs_have() -> None:
    said = _session(False, "a", "b").command("/help")
    assert "/role [ROLE]      which model of each run answers (sft, result)" in said
    assert "initial" not in said


def test_answers_grow_side_by_side_and_a_conversation_goes_on_with_them() -> None:
    session = _session(True, "a", "bb")
    grown = [[a.text if a else "" for a in answers] for answers in map(list, session.ask("one"))]
    assert grown[:2] == [["a", "b"], ["a ", "bb"]]
    assert _texts(session, "two") == ["a 3 (1, 'chat') None", "bb 3 (1, 'chat') None"]
    assert [turn.content for turn in session.lanes[1].turns] == [
        *("one", "bb 1 (1, 'chat') None", "two", "bb 3 (1, 'chat') None")
    ]
    session.command("/new")
    assert _texts(session, "three")[0].startswith("a 1 ")


def test_what_was_stopped_is_no_turn() -> None:
    session = _session(True, "a")
    next(session.ask("one"))
    assert session.lanes[0].turns == []


def test_texts_stand_alone() -> None:
    session = _session(False, "a")
    assert _texts(session, "one") == _texts(session, "two") == ["a 0 (1, 'chat') None"]


def test_commands_change_how_the_next_prompt_is_answered() -> None:
    session = _session(False, "a")
    assert session.command("/seed 7") == "seed 7"
    assert session.command("/temperature 0.5") == "temperature 0.5"
    assert _texts(session, "one") == ["a 0 (7, 'chat') 0.5"]
    assert session.command("/temperature") == "the temperature of each run"
    assert session.command("/format chat") == "format chat"
    assert _texts(session, "one") == ["a 1 (7, 'chat') None"]
    assert session.command("/role") == "a (result): sft, result"
    assert "sft answers" in session.command("/role sft")
    assert session.lanes[0].title == "a (sft)"
    session.command("/quit")
    assert session.ended


@pytest.mark.parametrize(
    "line,message",
    [
        ("/sede 2", "/sede is not a command.*Did you mean 'seed'"),
        ("/seed two", "/seed takes a whole number"),
        ("/temperature -1", "A temperature is a number from 0"),
        ("/temperature inf", "A temperature is a number from 0"),
        ("/role stf", "a has no model for stf.*Did you mean 'sft'"),
        ("/format html", "/format takes chat or text"),
        ("/save", "/save needs the name of a file"),
        ("/save new.jsonl", "/save has nothing to write yet"),
    ],
)
def test_a_command_that_cannot_be_done_is_refused(line: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        _session(False, "a").command(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("say it", ""),
        ("say something", "line 3: The model cannot read all of this. It reads: say\n"),
        (
            "something",
            "line 3: The model can read nothing of this: its vocabulary has none of it.\n",
        ),
    ],
)
def test_what_the_model_cannot_read_is_said(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chat._answer_piped(_session(False, "a"), line, 3)
    written = capsys.readouterr()
    assert written.err.removeprefix("preflab: ") == said
    assert written.out.startswith(f"> {line}\n")


def test_prompts_are_saved_once_each_and_overwrite_nothing(tmp_path: Path) -> None:
    session, path = _session(False, "a", "b"), tmp_path / "p.jsonl"
    for line in ("one", "two", "one"):
        _texts(session, line)
    session.command("/format chat")
    _texts(session, "three")
    assert session.command(f"/save {path}").startswith("3 prompts in ")
    assert [json.loads(line)["prompt"] for line in path.read_text().splitlines()] == [
        "one",
        "two",
        [{"role": "user", "content": "three"}],
    ]
    with pytest.raises(UserError, match="exists already: give another name"):
        session.command(f"/save {path}")


def test_a_turn_is_saved_once_though_two_runs_answered_differently(tmp_path: Path) -> None:
    """The first run's answer is in the conversation of the second turn."""
    session, path = _session(True, "a", "b"), tmp_path / "p.jsonl"
    for line in ("one", "two"):
        _texts(session, line)
    assert session.command(f"/save {path}").startswith("2 prompts in ")
    first, second = (json.loads(line)["prompt"] for line in path.read_text().splitlines())
    assert [turn["content"] for turn in first] == ["one"]
    assert [turn["content"] for turn in second] == ["one", "a 1 (1, 'chat') None", "two"]
