"""OpenAssistant's trees, as a tree a row and as a message a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.records import Message
from preflab_builtin.files.config import OnBadRow

from .test_published import read


def node(name: str, role: str, rank: int | None = None, *replies: Any, **facts: Any) -> Any:
    return {
        "message_id": name,
        "text": f"text {name}",
        "role": role,
        "rank": rank,
        "lang": "en",
        "deleted": False,
        "synthetic": False,
        "labels": {"quality": {"value": 0.5}},
        "replies": list(replies),
        **facts,
    }


_ROOT = node(
    "p",
    "prompter",
    None,
    node(
        "a",
        "assistant",
        1,
        node("q", "prompter", None, node("c", "assistant"), node("x", "assistant", deleted=True)),
    ),
    node("b", "assistant", 0),
    node("d", "assistant", 2),
    node("e", "assistant"),  # without a rank
)
_TREE = {"message_tree_id": "p", "tree_state": "ready_for_export", "prompt": _ROOT}


def flat(tree: Any, parent: str | None = None) -> list[dict[str, Any]]:
    replies = tree["replies"]
    row = {k: v for k, v in tree.items() if k != "replies"}
    row |= {"parent_id": parent, "message_tree_id": "p", "user_id": "u"}
    return [row, *(r for reply in replies for r in flat(reply, tree["message_id"]))]


@pytest.mark.parametrize("rows", [[_TREE], flat(_ROOT)], ids=["nested", "flat"])
def test_what_a_tree_holds(tmp_path: Path, rows: list[Any]) -> None:
    first = (Message("user", "text p"),)
    second = (*first, Message("assistant", "text a"), Message("user", "text q"))
    (ranking,) = read(tmp_path, "rankings", *rows)
    assert ranking.prompt.messages == first
    assert ranking.responses == ("text b", "text a", "text d")  # rank 0 is the best
    assert ranking.preferences == ((0, 1), (0, 2), (1, 2))
    shown = [(d.prompt.messages, d.response) for d in read(tmp_path, "demonstrations", *rows)]
    assert shown == [(first, "text b"), (second, "text c")]
    prompts = read(tmp_path, "prompts", *rows)
    assert [(p.id, p.messages, p.group) for p in prompts] == [("p", first, "p"), ("q", second, "p")]


def test_trees_follow_each_other(tmp_path: Path) -> None:
    rows = flat(_ROOT)
    second = [
        {**row, "message_tree_id": "z", "message_id": f"z{row['message_id']}"} for row in rows
    ]
    second = [{**r, "parent_id": r["parent_id"] and f"z{r['parent_id']}"} for r in second]
    assert len(read(tmp_path, "rankings", *rows, *second)) == 2
    mixed = [*rows[:6], *second, *rows[6:]]
    with pytest.raises(UserError, match=r"jsonl:1\d: parent_id: .*must follow each other"):
        read(tmp_path, "rankings", *mixed)


def test_a_tree_without_ranks_is_refused_with_all_its_rows(tmp_path: Path) -> None:
    rows = [{**row, "rank": None} for row in flat(_ROOT)]
    with pytest.raises(UserError, match=r"jsonl:1: replies: no message .*\n\(8 of 8 rows"):
        read(tmp_path, "rankings", *rows)
    good = [{**row, "message_tree_id": "g"} for row in flat(_ROOT)]
    with pytest.warns(UserWarning, match="8 of 16 rows kept, 8 rejected"):
        assert len(read(tmp_path, "rankings", *rows, *good, on_bad_row=OnBadRow.skip)) == 1


@pytest.mark.parametrize(
    "change,expected",
    [
        ({"role": "robot"}, r"prompt\[0\].role: is 'robot'"),
        ({"text": 3}, r"prompt\[0\].content: is a number"),
        ({"replies": {}}, "replies: no message of a user"),
        ({"replies": 5}, "prompt.replies: is a number but must be a list"),
        ({"context": "Earlier."}, "prompt.context: holds a part of the conversation"),
    ],
)
def test_a_damaged_tree(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=rf"jsonl:1: {expected}"):
        read(tmp_path, "rankings", {**_TREE, "prompt": {**_ROOT, **change}})
