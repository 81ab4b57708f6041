"""What a row asks and what is answered: the prompt with the columns ``system`` and ``history``, and
the case that a shape makes of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from preflab.records import Message
from preflab.rows import BadRow, fields, type_name
from preflab_builtin.files import conversations, transcripts
from preflab_builtin.files.columns import Reading, Remark
from preflab_builtin.files.config import Template
from preflab_builtin.files.labelers import labeler_group
from preflab_builtin.files.names import BEFORE
from preflab_builtin.files.transcripts import Asked
from preflab_builtin.files.values import blank, says_nothing, structured

Columns = Mapping[str, Any]
_NO_INPUT = "<noinput>"
"""How self-instruct writes that there is no input."""


class Case(NamedTuple):
    """What a row says: a question, the responses to it (none for a prompt alone), (better, worse)
    pairs among them, the pairs that nobody compared, and a rating of each response, if there are.

    about: the columns that describe the prompt (id, user, group, split, tags). part: which of
    several cases of a row. sampled: the responses are samples of a policy, which may be empty.
    """

    asked: Asked
    about: Columns
    responses: tuple[str, ...] = ()
    preferences: tuple[tuple[int, int], ...] = ()
    labeler: str = ""
    labeler_group: str = ""
    part: str = ""
    sampled: bool = False
    unjudged: tuple[tuple[int, int], ...] = ()
    ratings: tuple[float, ...] = ()


def case(
    row: Columns,
    asked: Asked,
    responses: Sequence[str] = (),
    preferences: Sequence[tuple[int, int]] = (),
    part: str = "",
    unjudged: Sequence[tuple[int, int]] = (),
    ratings: Sequence[float] = (),
) -> Case:
    """A case with the labels of its row."""
    labels = (fields.identifier(row, "labeler"), labeler_group(row))
    given = (tuple(responses), tuple(preferences))
    more = (tuple(unjudged), tuple(ratings))
    return Case(asked, row, *given, *labels, part, False, *more)


def question(row: Columns, value: Any, field: str, reading: Reading, chat: bool = False) -> Asked:
    """What a row asks in a value: a conversation, or a text. A text is taken as it is, unless the
    row has the columns ``system`` or ``history``: then it is what the user says last. chat (or
    template=chat): a text is always what a user says, and a transcript is a conversation."""
    if conversations.is_conversation(value, field):
        return conversations.asked(_all(row, value, field, reading), field)
    text = fields.checked_text(value, field)
    template = reading.settings.template
    if text.startswith(transcripts.HUMAN):
        asked = _transcript(row, text, field)
        if template is not Template.chat:
            return asked
        return conversations.asked(transcripts.parsed(asked.text), field)
    if chat or template is Template.chat or any(name in row for name in BEFORE):
        return conversations.said(text, *before(row, reading))
    return Asked(text)


def conversation(row: Columns, value: Any, field: str, reading: Reading) -> tuple[Asked, str]:
    """Prompt and response of a whole conversation."""
    return conversations.answered(_all(row, value, field, reading), field)


def instruction(row: Columns, text: str, given: str, reading: Reading) -> Asked:
    """An instruction, with its input: through the template; or, where the row has a system message
    or earlier turns (or with template=chat), what a user says to an assistant."""
    if given.strip() == _NO_INPUT:
        given = ""
    if says_nothing(given):
        reading.remarks[Remark.NO_INPUT] += 1
    template = reading.settings.template
    if template is not Template.chat and not any(name in row for name in BEFORE):
        return Asked(transcripts.instructed(text, given, template))
    said = f"{text}\n{given}" if given.strip() else text
    return conversations.said(said, *before(row, reading))


def reply(value: Any, field: str, reading: Reading) -> str:
    """The content of a response to a conversation: one assistant message, or a text (of which a
    space at its start is the one between label and text of a transcript)."""
    if conversations.is_conversation(value, field):
        return message(value, field, reading)
    return fields.checked_text(value, field).removeprefix(" ")


def answer(value: Any, field: str, asked: Asked, reading: Reading) -> str:
    """A response: after a text a text, byte for byte; after a conversation see `reply`."""
    if asked.messages:
        return reply(value, field, reading)
    return fields.checked_text(value, field)


def message(value: Any, field: str, reading: Reading) -> str:
    """The content of one assistant message."""
    messages = conversations.turns(value, field, reading)
    if len(messages) != 1 or messages[0].role != "assistant":
        raise BadRow(field, "must be one assistant message")
    return messages[0].content


def before(row: Columns, reading: Reading) -> list[Message]:
    """The messages of the columns ``system`` and ``history``."""
    messages = []
    if not blank(row.get("system")):
        messages.append(Message("system", fields.text(row, "system")))
    history = structured(row.get("history"))
    if blank(history):
        return messages
    if not isinstance(history, (list, tuple)):
        raise BadRow("history", f"is {type_name(history)} but must be a list of earlier turns")
    if isinstance(history[0], Mapping):
        return messages + list(conversations.turns(history, "history", reading))
    for i, pair in enumerate(history):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise BadRow(f"history[{i}]", "must be a pair: what was asked and what was answered")
        for role, said in zip(("user", "assistant"), pair, strict=True):
            messages.append(Message(role, fields.checked_text(said, f"history[{i}]")))
    return messages


def _all(row: Columns, value: Any, field: str, reading: Reading) -> list[Message]:
    """The messages of a conversation, after those of ``system`` and ``history``."""
    messages, earlier = conversations.turns(value, field, reading), before(row, reading)
    if earlier and messages[0].role == "system":
        if not blank(row.get("history")) or earlier[0].content != messages[0].content:
            reason = f"and the system message of '{field}' are both given: which one counts?"
            raise BadRow("history" if earlier[0].role != "system" else "system", reason)
        earlier = []
    return [*earlier, *messages]


def _transcript(row: Columns, text: str, field: str) -> Asked:
    """A transcript in the form of HH-RLHF stays a text; a system message stands before it."""
    if not blank(row.get("history")):
        raise BadRow("history", f"is given, but '{field}' already holds earlier turns")
    system = "" if blank(row.get("system")) else fields.text(row, "system")
    return Asked(system + text)
