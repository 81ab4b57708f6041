"""What the name and the value of a column say."""

from __future__ import annotations

from typing import Any

import pytest

from preflab_builtin.files.meanings import Kind, meaning

_KINDS: dict[Kind | None, list[tuple[str, Any]]] = {
    Kind.TOLD: [("system", "x"), ("System Prompt", "x"), ("systemprompt", "x"), ("role", "x")],
    Kind.SAID: [
        ("chat_history", ["x"]),
        ("chatHistory", "x"),
        ("odd", [{"from": "a", "value": 1}]),
    ],
    Kind.ABOUT: [("passage", "x"), ("code", "x"), ("background_knowledge", "x")],
    Kind.TOOLS: [("tools", [1]), ("available-functions", "x")],
    Kind.MEDIA: [
        ("images", ["a"]),
        ("image_url", "x"),
        ("where", "pages/7.PDF"),
        ("blob", b"x"),
        ("x", [{"bytes": 1, "path": ""}]),
    ],
    Kind.WEIGHT: [
        ("weight", 0.5),
        ("loss_weight", 2),
        ("mask", 1),
        ("masked", True),
        ("loss_mask", [1, 0]),
    ],
    Kind.REASONING: [("reasoning_content", "x"), ("thinking", "x")],
    Kind.JUDGED: [("label", 0), ("is_correct", False), ("thumbs", "up"), ("preferred", True)],
    Kind.ANSWER: [("response", "x"), ("model_output", "x")],
    None: [
        *(("id", 1), ("question_id", 7), ("num_turns", 2), ("turn", 1), ("has_image", True)),
        *(("source", "web"), ("prompt_source", "x"), ("model_name", "x"), ("author", "x")),
        *(("weight", 1), ("train", True), ("language", "de"), ("score_chosen", 1.5), ("name", "x")),
        *(("good_natured", True), ("country_code", "de"), ("created_at", "x"), ("title", "x")),
        *(("source", "pool.pdf"), ("said", "I cannot open the file you sent, a.pdf")),
    ],
}


@pytest.mark.parametrize("kind", _KINDS)
def test_what_a_column_holds(kind: Kind | None) -> None:
    assert [(name, meaning(name, value)) for name, value in _KINDS[kind]] == [
        (name, kind) for name, _ in _KINDS[kind]
    ]


def test_keys_inside_a_row() -> None:
    assert meaning("name", "Alice", inside=True) is Kind.SPEAKER
    assert meaning("train", False, inside=True) is Kind.WEIGHT
    assert meaning("train", True, inside=True) is None
    assert meaning("id", "x", inside=True) is None
    for name, value, kind in (
        ("masked", True, Kind.WEIGHT),
        ("rating", "bad", Kind.JUDGED),
        ("channel", "analysis", Kind.REASONING),
        ("channel", "final", None),
        ("recipient", "browser", Kind.TOOLS),
        ("recipient", "all", None),
    ):
        assert meaning(name, value, inside=True) is kind
