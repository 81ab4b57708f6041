"""What nobody reads: refused by name where it would change what a row says, else counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab_builtin.files.config import FilesConfig, RecordKind
from preflab_builtin.files.source import FileSource, inspect

_ROWS: dict[str, dict[str, Any]] = {
    "prompts": {"prompt": "q"},
    "demonstrations": {"prompt": "q", "completion": "a"},
    "rankings": {"prompt": "q", "chosen": "a", "rejected": "b"},
}
_TELLING: dict[str, Any] = {
    "context": "The pool is closed.",
    "system_prompt": "Speak German.",
    "persona": "a pirate",
    "chat_history": "A: hi",
    "dialogue": [{"role": "user", "content": "hi"}],
    "what_came_before": [{"from": "human", "value": "hi"}],
    "previousTurns": ["hi"],
    "passage": "Pools are wet.",
    "documents": ["a", "b"],
    "tools": [{"name": "search"}],
    "functions": "search()",
    "images": ["a.png"],
    "image_url": "http://example.org/a.png",
    "photo": {"bytes": b"".hex(), "path": "a.png"},
    "audio": "a.wav",
    "instruction": "Do it.",
    "input": "x",
    "question": "why?",
    "weight": 0.5,
    "loss_mask": [0, 1],
    "reasoning_content": "Let me think.",
}


def source(tmp_path: Path, record_type: str, *rows: Any, **settings: Any) -> FilesConfig:
    """A config that reads these rows."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return FilesConfig(record=RecordKind(record_type), path=str(path), **settings)


@pytest.mark.parametrize("record_type", _ROWS)
@pytest.mark.parametrize("column", _TELLING)
def test_a_column_that_would_change_the_row_is_refused(
    tmp_path: Path, record_type: str, column: str
) -> None:
    row = {**_ROWS[record_type], column: _TELLING[column]}
    with pytest.raises(UserError, match=rf"rows.jsonl:1: {column}: holds .*ignore=\[{column}\]"):
        FileSource(source(tmp_path, record_type, row))
    ignored = FileSource(source(tmp_path, record_type, row, ignore=[column])).parsed
    plain = FileSource(source(tmp_path, record_type, _ROWS[record_type])).parsed
    assert [p.records for p in ignored.values()] == [p.records for p in plain.values()]


@pytest.mark.parametrize("value", [None, "", " ", [], {}, [None], [""], "[]", {"a": None}])
def test_an_empty_value_says_nothing(tmp_path: Path, value: Any) -> None:
    for column in _TELLING:
        row = {"prompt": "q", "chosen": "a", "rejected": "b", column: value}
        config = source(tmp_path, "rankings", row)
        assert len(FileSource(config).records("rankings")) == 1
        assert inspect(config).notices == []


def test_facts_about_a_row_are_counted(tmp_path: Path) -> None:
    facts = {"source": "web", "url": "u", "question_id": 7, "num_turns": 2, "prompt_source": "x"}
    facts |= {"score_chosen": 3.5, "conversation_hash": "ab", "has_image": False, "language": "de"}
    row = {"prompt": "q", "chosen": "a", "rejected": "b"}
    config = source(tmp_path, "rankings", {**row, **facts}, {**row, "url": "v", "prompt": "r"})
    (notice,) = inspect(config).notices
    assert notice.startswith("rankings: columns that are not read: url (all rows), conv")
    assert all(f"{name} (1 rows)" in notice for name in facts if name != "url")


@pytest.mark.parametrize(
    "message",
    [
        {"name": "Alice"},
        {"weight": 0},
        {"loss_mask": False},
        {"mask": 1},
        {"train": False},
        {"tool_calls": [{"id": "1"}]},
        {"function_call": {"name": "f"}},
        {"reasoning_content": "hm"},
        {"images": ["a.png"]},
    ],
)
def test_a_key_inside_a_message_is_refused(tmp_path: Path, message: dict[str, Any]) -> None:
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", **message}]
    expected = rf"rows.jsonl:1: messages\[1\].({'|'.join(message)}): holds .*on_bad_row=skip"
    with pytest.raises(UserError, match=expected):
        FileSource(source(tmp_path, "demonstrations", {"messages": said}))


@pytest.mark.parametrize(
    "content,expected",
    [
        ([{"type": "image", "url": "a"}, {"type": "text", "text": "q"}], r"content\[0\].type: is"),
        ([{"type": "image_url", "image_url": {"url": "a"}}], r"content\[0\].type: is 'image_url'"),
        ([{"type": "text", "text": "q", "image": "x"}], r"content\[0\].image: holds images"),
        ([3], r"content\[0\]: is a number"),
        (3, "content: is a number"),
    ],
)
def test_a_part_of_a_message_that_is_no_text(tmp_path: Path, content: Any, expected: str) -> None:
    row = {"messages": [{"role": "user", "content": content}]}
    with pytest.raises(UserError, match=rf"rows.jsonl:1: messages\[0\]\.{expected}"):
        FileSource(source(tmp_path, "prompts", row))


@pytest.mark.parametrize("role", ["tool", "function", "observation", "ipython"])
def test_a_tool_does_not_speak(tmp_path: Path, role: str) -> None:
    said = [{"role": r, "content": "x"} for r in ("user", role, "assistant")]
    with pytest.raises(UserError, match=rf"messages\[1\].role: is '{role}': tool calls"):
        FileSource(source(tmp_path, "demonstrations", {"messages": said}))


def test_facts_inside_a_message_are_counted_once_by_name(tmp_path: Path) -> None:
    said = [
        {"role": "user", "content": "q", "id": 1, "weight": 1, "train": True},
        {"role": "assistant", "content": "a", "id": 2, "timestamp": 5},
    ]
    (notice,) = inspect(source(tmp_path, "demonstrations", {"messages": said})).notices
    names = ("id", "weight", "train", "timestamp")  # a weight of 1 says nothing
    assert all(f"messages[].{name}" in notice for name in names)
    assert notice.endswith("(all rows).")


def test_answers_are_not_missed_where_prompts_are_read(tmp_path: Path) -> None:
    row = {"prompt": "q", "answer": "a", "label": 1, "solution": "s", "responses": ["x"]}
    config = source(tmp_path, "prompts", row)
    assert len(FileSource(config).records("prompts")) == 1
    with pytest.raises(UserError, match="answer: holds an answer"):
        FileSource(source(tmp_path, "demonstrations", {**row, "completion": "a", "label": True}))


def test_what_another_record_type_reads_is_counted(tmp_path: Path) -> None:
    row = {"prompt": "q", "completion": "a", "chosen": "b", "rejected": "c", "text": "t"}
    for record_type, expected in (
        ("prompts", "text"),
        ("demonstrations", "chosen, rejected, text"),
        ("rankings", "completion, text"),
        ("documents", "chosen, completion, prompt, rejected"),
    ):
        found = inspect(source(tmp_path, record_type, row)).notices
        assert found == [f"{record_type}: columns that are not read: {expected} (all rows)."]
    with pytest.raises(UserError, match="images: holds images"):
        FileSource(source(tmp_path, "documents", {"text": "t", "images": ["a"]}))


def test_what_hides_in_an_object_is_named(tmp_path: Path) -> None:
    meta = {"id": 1, "system": "Be rude.", "images": []}
    row = {"prompt": "q", "chosen": " a", "rejected": " b", "metadata": meta}
    (notice,) = inspect(source(tmp_path, "rankings", row)).notices
    assert "metadata, metadata.system (all rows)" in notice


@pytest.mark.parametrize(
    "record_type,column,value,cure",
    [
        ("rankings", "SYSTEM", "x", "columns.system=SYSTEM"),
        ("rankings", "sysprompt", "x", "columns.system=sysprompt|Put it into the prompt"),
        ("rankings", "chathistory", ["x"], "columns.history=chathistory"),
        ("demonstrations", "thumbs", "down", "columns.label=thumbs"),
        ("demonstrations", "desirable", False, "columns.label=desirable"),
        ("demonstrations", "is_preferred", False, "columns.label=is_preferred"),
        ("demonstrations", "feedback", -1, "columns.label=feedback"),
        ("rankings", "label", 0, "verdict.answers=.chosen,rejected. .*verdict.winner=label"),
    ],
)
def test_the_cure_fits_what_a_column_holds(
    tmp_path: Path, record_type: str, column: str, value: Any, cure: str
) -> None:
    row = {**_ROWS[record_type], column: value}
    with pytest.raises(UserError, match=rf":1: {column}: holds .*({cure})"):
        FileSource(source(tmp_path, record_type, row))


def test_a_list_of_messages_that_was_spoilt_is_no_text(tmp_path: Path) -> None:
    spoilt = "[{'content': 'hi', 'role': 'user'}\n {'content': 'yo', 'role': 'assistant'}]"
    for row in ({"prompt": spoilt}, {"messages": spoilt}):
        with pytest.raises(
            UserError, match=r"looks like messages that were written as a text|list"
        ):
            FileSource(source(tmp_path, "prompts", row))
    (prompt,) = FileSource(source(tmp_path, "prompts", {"prompt": "[{1: 2}]"})).records("prompts")
    assert (prompt.text, prompt.messages) == ("[{1: 2}]", ())  # type: ignore[union-attr]
