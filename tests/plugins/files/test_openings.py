"""Turns with which most conversations of a file begin (few-shot examples) make no group of them
all; the turns of one dialogue still do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from judged_rows import files
from preflab.records import Prompt
from preflab_builtin.files.source import FileSource, inspect
from preflab_builtin.files.transcripts import root, shared_opening

_SHOTS = ["1+1?", "2", "2+2?", "4"]


def messages(*said: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)]}


def groups(tmp_path: Path, rows: Any) -> list[str]:
    found = FileSource(files(tmp_path, rows, "prompts")).records("prompts")
    return [prompt.group for prompt in found if isinstance(prompt, Prompt)]


def test_questions_after_the_same_examples_are_groups_of_their_own(tmp_path: Path) -> None:
    rows = [messages(*_SHOTS, f"{i}+{i}?") for i in range(20)]
    assert len(set(groups(tmp_path, rows))) == 20
    (notice,) = inspect(files(tmp_path, rows, "prompts")).notices
    assert "begin with the same 4 turns" in notice
    # Turns of one dialogue after the examples stay together.
    longer = [messages(*_SHOTS, f"{i}+{i}?", str(2 * i), "Sure?") for i in range(20)]
    both = groups(tmp_path, rows + longer)
    assert both[:20] == both[20:]
    # A dialogue without the examples begins as ever.
    other = groups(tmp_path, [*rows, messages("Hi"), messages("Hi", "Hello!", "Bye")])
    assert other[-1] == other[-2]
    assert len(set(other)) == 21


def test_transcripts_are_read_alike() -> None:
    shots = "\n\nHuman: a\n\nAssistant: b"
    prompts = [f"{shots}\n\nHuman: {i}\n\nAssistant:" for i in range(4)]
    assert shared_opening(prompts) == shots
    assert root(prompts[0], shots) == f"{shots}\n\nHuman: 0"
    assert root(prompts[0]) == "\n\nHuman: a"


def test_the_turns_of_one_dialogue_are_one_group(tmp_path: Path) -> None:
    said = [str(i) for i in range(30)]
    rows = [messages(*said[: 2 * i + 1]) for i in range(15)]
    assert len(set(groups(tmp_path, rows))) == 1


def test_dialogues_that_share_less_are_one_group_each(tmp_path: Path) -> None:
    """A third of the conversations begins with the same greeting, which is not most of them."""
    greeted = [messages("Hi", "Hello!", f"{i}?") for i in range(5)]
    others = [messages(f"other {i}") for i in range(10)]
    assert len(set(groups(tmp_path, greeted + others))) == 11
