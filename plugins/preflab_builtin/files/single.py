"""Rows with one answer, or none: prompts, demonstrations and documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preflab.rows import BadRow, fields, type_name
from preflab_builtin.files import conversations
from preflab_builtin.files.asking import (
    Case,
    Columns,
    answer,
    case,
    conversation,
    instruction,
    question,
    reply,
)
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.names import CONVERSATIONS
from preflab_builtin.files.transcripts import Asked
from preflab_builtin.files.values import structured


def bare_prompt(row: Columns, reading: Reading) -> Sequence[Case]:
    """``prompt``: a text or a conversation."""
    return [case(row, question(row, row["prompt"], "prompt", reading))]


def completion(row: Columns, reading: Reading) -> Sequence[Case]:
    """``prompt`` and ``completion``. A completion of messages makes a text what the user says."""
    value = row["completion"]
    chat = conversations.is_conversation(value, "completion")
    asked = question(row, row["prompt"], "prompt", reading, chat)
    return [case(row, asked, [answer(value, "completion", asked, reading)])]


def messages(row: Columns, reading: Reading) -> Sequence[Case]:
    """A conversation; a last assistant message is the response."""
    field = next(name for name in CONVERSATIONS if row.get(name) is not None)
    turns = conversations.turns(row[field], field, reading)
    asked = row.get("prompt")
    if isinstance(asked, str) and all(asked.strip() not in turn.content for turn in turns):
        raise BadRow("prompt", f"is not in '{field}': which one counts?")
    if turns[-1].role != "assistant" and reading.settings.record_type == "prompts":
        return [case(row, question(row, row[field], field, reading))]
    before, response = conversation(row, row[field], field, reading)
    return [case(row, before, [response])]


def alpaca(row: Columns, reading: Reading) -> Sequence[Case]:
    """``instruction``, ``input`` (``context`` in Dolly), ``output`` (or ``response``)."""
    given = next((name for name in ("input", "context") if row.get(name) is not None), None)
    text = "" if given is None else fields.text(row, given, blank=True)
    asked = instruction(row, fields.text(row, "instruction"), text, reading)
    field = next((name for name in ("output", "response") if name in row), None)
    if field is None:
        return [case(row, asked)]
    return [case(row, asked, [answer(row[field], field, asked, reading)])]


def self_instruct(row: Columns, reading: Reading) -> Sequence[Case]:
    """Seed tasks: an ``instruction`` with ``instances``."""
    instances = fields.items({"instances": structured(row["instances"])}, "instances")
    if not instances:
        raise BadRow("instances", "is an empty list")
    text, cases = fields.text(row, "instruction"), []
    for i, instance in enumerate(instances):
        place = f"instances[{i}]"
        if not isinstance(instance, Mapping):
            raise BadRow(place, f"is {type_name(instance)} but must be an object {{input, output}}")
        given = fields.checked_text(instance.get("input", ""), f"{place}.input", blank=True)
        output = fields.checked_text(instance.get("output"), f"{place}.output")
        reading.rest(instance, ("input", "output"), f"{place}.")
        part = f"/{i}" if len(instances) > 1 else ""
        cases.append(case(row, instruction(row, text, given, reading), [output], part=part))
    return cases


def two_roles(row: Columns, reading: Reading) -> Sequence[Case]:
    """``user`` and ``assistant``: what each of them said (and ``system``)."""
    asked = question(row, row["user"], "user", reading, chat=True)
    about = {name: value for name, value in row.items() if name != "user"}
    return [case(about, asked, [reply(row["assistant"], "assistant", reading)])]


def text(row: Columns, reading: Reading) -> Sequence[Case]:
    """A document."""
    return [Case(Asked(fields.text(row, "text")), row)]


def transcript(row: Columns, reading: Reading) -> Sequence[Case]:
    """A conversation as a document."""
    field = next(name for name in CONVERSATIONS if row.get(name) is not None)
    turns = conversations.turns(row[field], field, reading)
    return [Case(Asked(conversations.rendered(turns)), row)]
