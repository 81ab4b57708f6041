"""Votes of Chatbot Arena, in: the cleaned file of FastChat (model_a, model_b, winner, judge,
conversation_a, conversation_b, turn, anony), which MT-bench's human judgments have too, and the
server's own log (type, models, states, ip). The models are the arms.

A vote counts if it was blind. A second vote of one person on one conversation was not: the names
were shown after the first. Where the two conversations differ before the last answer there is no
common prompt, so that they are left out, and counted. "Both are bad" is a tie with a flag.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from preflab.records import Message, Prompt
from preflab.rows import BadRow, fields, read_table, shown
from preflab_builtin.files.conversations import asked
from preflab_people.exchange.labels import Gathering, messages_of
from preflab_people.judgments import Answer, Judgment, Task, task_id

BOTH_BAD = "both bad"
"""The flag of responses that are both bad."""
NOT_BLIND = "{n} votes were given after the names of the models were known, and are left out."
SECOND = "{n} votes are second votes of one person on one conversation, and are left out."
NO_PROMPT = (
    "{n} votes are about conversations that differ before their last answers, and are left out."
)
_VOTES = {
    "leftvote": "model_a",
    "rightvote": "model_b",
    "tievote": "tie",
    "bothbad_vote": "tie (bothbad)",
}
"""Types of votes in the server's log, as the cleaned file calls them."""
_READ = (
    *("question_id", "language", "winner", "judge", "turn", "anony", "tstamp"),
    *("model_a", "model_b", "conversation_a", "conversation_b"),
)
"""Columns of the cleaned file."""
_WINNERS = ("model_a", "model_b", "tie", "tie (bothbad)")


def read(path: Path, gathering: Gathering) -> None:
    """Votes, cleaned or as the server logged them."""
    for _ in read_table(path, lambda row: _read(row, gathering)):
        pass


def _read(row: Mapping[str, Any], gathering: Gathering) -> None:
    if "states" in row and "winner" not in row:
        if row.get("type") not in _VOTES:  # a chat, a click: no vote
            return
        row = _cleaned(row)
    winner = fields.one_of(row.get("winner"), "winner", _WINNERS)
    if row.get("anony") is False:
        gathering.remark(NOT_BLIND)
        return
    sides = [_side(row, f"conversation_{name}") for name in "ab"]
    if sides[0][:-1] != sides[1][:-1]:
        gathering.remark(NO_PROMPT)
        return
    gathering.not_read(row, _READ)
    task = gathering.task(_task(row, sides[0], sides[1]))
    labeler = gathering.person(fields.identifier(row, "judge"))
    if (task.id, labeler) in gathering.judgments:
        gathering.remark(SECOND)
        return
    ranks = {"model_a": (1, 2), "model_b": (2, 1)}.get(winner, (1, 1))
    bad = (BOTH_BAD,) if winner == "tie (bothbad)" else ()
    answer = Answer(ranks=ranks, flags=(bad, bad))
    gathering.judge(Judgment(task.id, labeler, answer, at=_time(row)), "winner")


def _side(row: Mapping[str, Any], field: str) -> tuple[Message, ...]:
    """The messages of one model that were voted on: up to the turn of the vote."""
    messages = messages_of(row.get(field), field)
    turn = row.get("turn")
    if type(turn) is int and turn > 0:
        messages = messages[: 2 * turn]
    if len(messages) < 2 or messages[-1].role != "assistant":
        raise BadRow(field, "must end with an answer of the assistant")
    return messages


def _task(row: Mapping[str, Any], one: tuple[Message, ...], two: tuple[Message, ...]) -> Task:
    found = asked(one[:-1], "conversation_a")
    language = fields.identifier(row, "language")
    name = fields.identifier(row, "question_id") or fields.text_digest(found.text)
    turn = sum(message.role == "user" for message in one)
    name = name if turn == 1 else f"{name}-turn-{turn}"  # another question, with the same id
    prompt = Prompt(name, found.text, tags=(language,) if language else (), messages=found.messages)
    responses = (one[-1].content, two[-1].content)
    arms = tuple((fields.text(row, name),) for name in ("model_a", "model_b"))
    # Other models may give the same two texts: that is another task.
    models = [name for some in arms for name in some]
    return Task(
        task_id("compare", prompt, [*responses, *models]), "compare", prompt, responses, arms
    )


def _cleaned(row: Mapping[str, Any]) -> dict[str, Any]:
    """A vote of the log as the cleaned file has it."""
    states, shown_names = fields.items(row, "states"), fields.items(row, "models")
    if len(states) != 2 or len(shown_names) != 2:
        raise BadRow("states", f"has {len(states)} conversations, but a vote is about two")
    for i, state in enumerate(states):
        if not isinstance(state, Mapping):
            raise BadRow(f"states[{i}]", "must be an object {messages, offset, model_name}")
    public = [_without_heading(str(name or "")) for name in shown_names]
    blind = public[0] in ("", "Model A")
    hidden = [state.get("model_name") or name for state, name in zip(states, public, strict=True)]
    made = {
        "question_id": states[0].get("conv_id"),
        "winner": _VOTES[row["type"]],
        "judge": row.get("ip"),
        "anony": blind,
        "tstamp": row.get("tstamp"),
    }
    for name, state, model in zip("ab", states, hidden, strict=True):
        said = fields.items(state, "messages")[int(state.get("offset") or 0) :]
        roles = ("user", "assistant")
        made[f"conversation_{name}"] = [
            {"role": roles[i % 2], "content": _content(pair, i)} for i, pair in enumerate(said)
        ]
        made[f"model_{name}"] = model
    return made


def _content(pair: Any, number: int) -> str:
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        raise BadRow(f"states.messages[{number}]", "must be a pair: who spoke, and what")
    return fields.checked_text(pair[1], f"states.messages[{number}]", blank=True)


def _without_heading(name: str) -> str:
    """The name of a model without the heading that the page puts around it.

    >>> _without_heading("<h3>Model A: vicuna</h3>" + chr(10))
    'vicuna'
    """
    if name.startswith("<h3>"):
        return name[name.find(": ") + 2 :].removesuffix("\n").removesuffix("</h3>")
    return name


def _time(row: Mapping[str, Any]) -> str:
    """Seconds since 1970 as UTC, ISO 8601; "" if there are none."""
    stamp = row.get("tstamp")
    if stamp is None:
        return ""
    try:
        return datetime.fromtimestamp(fields.number(stamp, "tstamp"), UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        raise BadRow("tstamp", f"is {shown(str(stamp))}, which is no time") from None
