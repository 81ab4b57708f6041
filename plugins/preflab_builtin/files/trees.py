"""OpenAssistant's conversation trees: every message has replies, and the replies to one message
have ranks, 0 the best. As a tree a row, or as a message a row. Köpf et al. 2023."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from preflab.records import Message, preferences_from_ranks
from preflab.rows import BadRow, fields, shown, type_name
from preflab_builtin.files import conversations
from preflab_builtin.files.asking import Case, Columns
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.values import blank, numeric, structured, truth

FACTS = (
    *("message_id", "parent_id", "text", "role", "replies", "rank", "deleted", "synthetic"),
    *("message_tree_id", "tree_state", "labels", "detoxify", "emojis", "name"),
)
"""Keys of a message that are read, or that say how it was judged on its own."""


@dataclass
class Node:
    """A message with its replies. rank: 0 is the best among the replies to one message; None: the
    message has none."""

    name: str
    message: Message
    rank: float | None
    place: str
    replies: list[Node] = field(default_factory=list)


def nested(row: Columns, reading: Reading) -> Sequence[Case]:
    """A tree a row: ``prompt`` with ``replies`` in it."""
    root = structured(row["prompt"])
    if not isinstance(root, Mapping):
        raise BadRow("prompt", f"is {type_name(root)} but must be a message with replies")
    return _cases(_node(root, "prompt", reading), row, reading)


def _node(value: Any, place: str, reading: Reading) -> Node:
    node = _message(value, place, reading)
    replies = value.get("replies") or []
    if not isinstance(replies, (list, tuple)):
        raise BadRow(f"{place}.replies", f"is {type_name(replies)} but must be a list")
    node.replies = [
        _node(reply, f"{place}.replies[{i}]", reading)
        for i, reply in enumerate(replies)
        if not _deleted(reply)
    ]
    return node


def flat(rows: Sequence[Columns], reading: Reading) -> Sequence[Case]:
    """A message a row: consecutive rows with one ``message_tree_id``, replies by ``parent_id``."""
    nodes: dict[str, Node] = {}
    roots = []
    for row in rows:
        node = _message(row, "", reading)
        nodes[node.name] = node
    for row in rows:
        node, parent = nodes[fields.identifier(row, "message_id")], row.get("parent_id")
        if _deleted(row):
            continue
        if blank(parent):
            roots.append(node)
        elif parent in nodes:
            nodes[parent].replies.append(node)
        else:
            raise BadRow("parent_id", f"'{shown(str(parent))}' is no message of this tree; {_SORT}")
    if len(roots) != 1:
        reason = f"is missing in {len(roots)} messages of this tree, but it must have one root"
        raise BadRow("parent_id", f"{reason}; {_SORT}")
    return _cases(roots[0], rows[0], reading)


_SORT = "the rows of a tree must follow each other: sort the file by message_tree_id"


def _deleted(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and not blank(value.get("deleted"))
        and truth(value["deleted"], "deleted")
    )


def _message(value: Any, place: str, reading: Reading) -> Node:
    where = f"{place}." if place else ""
    if not isinstance(value, Mapping):
        raise BadRow(place, f"is {type_name(value)} but must be a message {{role, text}}")
    (message,) = conversations.turns(
        [{"role": value.get("role"), "content": value.get("text")}], place or "message", reading
    )
    if place:
        reading.rest(value, FACTS, where)
    rank = None if blank(value.get("rank")) else numeric(value["rank"], f"{where}rank")
    return Node(fields.identifier(value, "message_id"), message, rank, place)


def _cases(root: Node, row: Columns, reading: Reading) -> list[Case]:
    """A case for every message of a user: what was said until then and, for demonstrations, the
    best reply; for rankings, all replies with ranks. `BadRow` if there is none."""
    record_type, found = reading.settings.record_type, []
    tree = fields.identifier(row, "message_tree_id")
    for node, said in _paths(root, ()):
        if node.message.role != "user":
            continue
        ranked = [reply for reply in node.replies if reply.rank is not None]
        ranked.sort(key=lambda reply: reply.rank or 0.0)
        responses: tuple[str, ...] = ()
        order: tuple[tuple[int, int], ...] = ()
        if record_type == "rankings":
            responses = tuple(reply.message.content for reply in ranked)
            order = preferences_from_ranks([reply.rank or 0.0 for reply in ranked])
        elif record_type == "demonstrations":
            best = ranked[:1] or (node.replies if len(node.replies) == 1 else [])
            responses = tuple(reply.message.content for reply in best)
        if record_type == "prompts" or (record_type == "demonstrations" and responses) or order:
            about = {"id": node.name, "group": tree, "split": row.get("split")}
            asked = conversations.asked(said, node.place or "message")
            found.append(Case(asked, about, responses, order))
    if not found:
        what = "two replies with different ranks" if record_type == "rankings" else "a reply"
        raise BadRow("replies", f"no message of a user has {what}")
    return found


def _paths(node: Node, before: tuple[Message, ...]) -> Iterator[tuple[Node, tuple[Message, ...]]]:
    """Every message with the conversation that it ends."""
    said = (*before, node.message)
    yield node, said
    for reply in node.replies:
        yield from _paths(reply, said)
