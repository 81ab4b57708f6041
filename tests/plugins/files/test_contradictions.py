"""Rows whose columns contradict each other, or their record type: the reason is in the error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab_builtin.files.config import FilesConfig, RecordKind
from preflab_builtin.files.source import FileSource

_START = "\n\nHuman: q\n\nAssistant:"
_CONTRADICTIONS: list[tuple[str, dict[str, Any], str]] = [
    ("prompts", {"prompt": "<image>\nWhat is it?"}, "prompt: holds '<image>', .*on_bad_row=skip"),
    (
        "prompts",
        {
            "messages": [
                {"role": r, "content": c}
                for r, c in (("user", "<image> a?"), ("assistant", "b"), ("user", "c?"))
            ]
        },
        "prompt: holds '<image>'",
    ),
    ("demonstrations", {"prompt": "Draw", "completion": "<image>"}, "response: holds '<image>'"),
    ("prompts", {"prompt": "What is said? <audio>"}, "prompt: holds '<audio>'"),
    (
        "rankings",
        {"prompt": "q", "chosen": "same", "rejected": "same"},
        "response: all of them are the same",
    ),
    (
        "rankings",
        {"chosen": f"{_START} a", "rejected": f"{_START}"},
        "rejected: is empty",
    ),
    ("rankings", {"chosen": "a", "rejected": "b"}, "chosen: and rejected share no"),
    (
        "rankings",
        {"chosen": f"{_START} a{_START} b", "rejected": f"{_START} c"},
        "differ before their last turn",
    ),
    ("rankings", {"prompt": "q", "completions": ["a"], "ranks": [1]}, "completions: has 1 of them"),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ranks": [1, 2, 3]},
        "ranks: has 3 numbers for 2 completions",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ranks": [0, 1]},
        "ranks: starts at 0 but must start at 1",
    ),
    ("rankings", {"prompt": "q", "completions": ["a", "b"], "ranks": [2, 3]}, "ranks: starts at 2"),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ranks": ["first", "2"]},
        r"ranks\[0\]: is 'first' but must be a number",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ranks": [1, True]},
        r"ranks\[1\]: is true or false",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ranks": [1, 2], "scores": [1, 2]},
        "scores: and ranks are both",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "a"], "ranks": [1, 2]},
        "same text but ranked differently",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", " "], "ranks": [1, 2]},
        r"completions\[1\]: is empty",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ratings": [[], [1]]},
        r"ratings\[0\]: is an empty list",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ratings": [1]},
        "ratings: has 1 entries for 2",
    ),
    (
        "rankings",
        {"prompt": "q", "completions": ["a", "b"]},
        r"columns: .*ranks\|ranking\|scores\|ratings",
    ),
    ("rankings", {"prompt": "q", "chosen": "a", "regected": "b"}, "Did you mean 'rejected'"),
    (
        "rankings",
        {"prompt": "q", "chosen": [{"role": "assistant", "content": "a"}] * 2, "rejected": "b"},
        "chosen: must be one assistant",
    ),
    (
        "rankings",
        {"input": "q", "output_1": "a", "output_2": "b", "label": 0},
        "label: is 0 but must be 1 or 2",
    ),
    (
        "rankings",
        {"prompt": {"text": "q"}, "responses": ["a", "b"], "preferences": [[0, 2]]},
        r"preferences\[0\]: is \[0, 2\]",
    ),
    (
        "rankings",
        {"prompt": {"text": "q"}, "responses": ["a", "b"], "preferences": [[0, 0]]},
        r"preferences\[0\]: is \[0, 0\]",
    ),
    (
        "rankings",
        {"prompt": {"text": "q"}, "responses": ["a", "b"], "preferences": [[0]]},
        r"preferences\[0\]: must be two",
    ),
    (
        "rankings",
        {
            "prompt": {"text": "q"},
            "responses": ["a", "b"],
            "preferences": [],
            "unjudged": [[0, 1]],
        },
        "preferences: no two of the responses were compared",
    ),
    (
        "rankings",
        {"prompt": "q", "responses": ["a", "b"], "preferences": [[0, 1]]},
        "prompt: is a text but must be an object",
    ),
    ("demonstrations", {"prompt": "q", "completion": "a", "label": False}, "label: is false"),
    (
        "demonstrations",
        {"prompt": "q", "response": "a"},
        "columns: .*Allowed: .*prompt \\+ completion",
    ),
    (
        "demonstrations",
        {"messages": [{"role": "user", "content": "q"}]},
        "messages: ends with the user",
    ),
    (
        "demonstrations",
        {"messages": [{"role": "assistant", "content": "q"}]},
        "messages: holds the response alone",
    ),
    (
        "demonstrations",
        {"messages": [{"role": "usr", "content": "q"}]},
        r"messages\[0\].role: is 'usr'.*Did you mean 'user'",
    ),
    (
        "demonstrations",
        {"messages": [{"speaker": "human", "value": "q"}]},
        r"messages\[0\]: must be a message",
    ),
    (
        "demonstrations",
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        r"messages\[0\].content\[0\].text: is null",
    ),
    (
        "demonstrations",
        {"instruction": "do", "instances": [{"input": "x"}]},
        r"instances\[0\].output: is null",
    ),
    ("demonstrations", {"instruction": "do", "instances": ["x"]}, r"instances\[0\]: is a text"),
    ("prompts", {"prompt": "q", "tags": 5}, "tags: is a number but must be a list"),
    ("prompts", {"prompt": "q", "user": ["u"]}, "user: is a list"),
    (
        "prompts",
        {"prompt": [{"role": "assistant", "content": "q"}]},
        "prompt: ends with the assistant",
    ),
    ("prompts", {"promt": "q"}, "Did you mean 'prompt'"),
]


@pytest.mark.parametrize("number", range(len(_CONTRADICTIONS)))
def test_a_contradiction_is_explained(tmp_path: Path, number: int) -> None:
    record_type, row, expected = _CONTRADICTIONS[number]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(UserError, match=rf"rows\.jsonl:1: .*({expected})"):
        FileSource(FilesConfig(record=RecordKind(record_type), path=str(path)))
