"""Conversations in the notations that people have: chat messages (role, content), ShareGPT (from,
value), content in parts. They become the messages that a model's chat template takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from preflab.errors import nearest
from preflab.records import Message
from preflab.rows import BadRow, fields, shown, type_name
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.transcripts import ASSISTANT, Asked
from preflab_builtin.files.transcripts import rendered as rendered
from preflab_builtin.files.values import structured

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "instruction"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "chatgpt", "bot", "model", "ai", "bing", "bard"), "assistant"
    ),
}
"""What people call the three roles."""
_FIRST = "[{a \t\r\n"
"""With what a list or an array begins that was written as a text."""
_ROLES_OF = {"role", "from"}
_SPELLED = re.compile(r"\s*(array\()?\[\{\s*['\"](role|content|from|value)['\"]\s*:")
_ROLE_KEYS, _CONTENT_KEYS = ("role", "from"), ("content", "value", "text")
_TOOL_ROLES = {"tool", "function", "function_call", "observation", "ipython", "environment"}
_TEXT_PARTS = {"text", "input_text", "output_text"}


def is_conversation(value: Any, field: str) -> bool:
    """Whether a value is a message or a list of them, also where a CSV or a notebook made a text of
    it; `BadRow` for a text that was one and cannot be read."""
    if isinstance(value, (list, tuple)):
        return True
    if isinstance(value, str) and value[:1] not in _FIRST:
        return False
    found = structured(value)
    first = found[0] if isinstance(found, list) and found else found
    if isinstance(first, Mapping):
        return not _ROLES_OF.isdisjoint(first)
    if not isinstance(value, str):
        return False
    if _SPELLED.match(value):
        raise BadRow(field, "looks like messages that were written as a text. Write JSON, or lists")
    return False


def turns(value: Any, field: str, reading: Reading, first: int = 0) -> tuple[Message, ...]:
    """The messages of a conversation, checked; `BadRow` for a part of it that no model here reads
    (tool calls, images, weights). first: the number of the first of them."""
    found = _listed(value)
    if not isinstance(found, (list, tuple)) or not found:
        raise BadRow(field, f"is {type_name(found)} but must be a list of messages, not empty")
    return tuple([_message(item, i, field, reading) for i, item in enumerate(found, first)])


def first_role(value: Any, field: str, reading: Reading) -> str:
    """Who speaks first."""
    found = _listed(value)
    (first,) = turns(found[:1] if isinstance(found, (list, tuple)) else found, field, reading)
    return first.role


def _listed(value: Any) -> Any:
    """The list of a conversation; one message, as ShareGPT writes an answer, is a list of one."""
    found = structured(value)
    return [found] if isinstance(found, Mapping) else found


_USUAL = {"role", "content"}


def _message(item: Any, number: int, field: str, reading: Reading) -> Message:
    if type(item) is dict and item.keys() == _USUAL:  # the usual form, in a tenth of the time
        role, content = item["role"], item["content"]
        first = role == "system" and not number
        if type(content) is str and (first or role in ("user", "assistant")):
            place = f"{field}[{number}].content"
            return Message(role, fields.checked_text(content, place, blank=first))
    place = f"{field}[{number}]"
    role_key = next((key for key in _ROLE_KEYS if _has(item, key)), None)
    content_key = next((key for key in _CONTENT_KEYS if _has(item, key)), None)
    if role_key is None:
        raise BadRow(place, "must be a message {role, content} or {from, value}")
    named = str(item[role_key])
    if named.strip().lower() in _TOOL_ROLES:
        skip = reading.settings.option("on_bad_row=skip")
        raise BadRow(f"{place}.{role_key}", f"is '{shown(named)}': {_NO_TOOLS}: {skip}")
    role = ROLES.get(named.strip().lower())
    if role is None:
        usual = ("system", "user", "assistant", "human", "gpt")
        raise BadRow(f"{place}.{role_key}", f"is '{shown(named)}'. {nearest(named, usual)}")
    if role == "system" and number:
        raise BadRow(f"{place}.{role_key}", f"is '{shown(named)}', which can only come first")
    if len(item) > 2 or content_key is None:
        reading.rest(item, (role_key, content_key or ""), f"{place}.")
    if content_key is None:
        raise BadRow(place, "must be a message {role, content} or {from, value}")
    return Message(role, _content(item[content_key], f"{place}.{content_key}", role, reading))


_NO_TOOLS = "tool calls and their results are not read. Leave such rows out"


def _has(item: Any, key: str) -> bool:
    return isinstance(item, Mapping) and item.get(key) is not None


def _content(value: Any, field: str, role: str, reading: Reading) -> str:
    """A text, or a list of parts that are all texts."""
    if isinstance(value, (list, tuple)):
        value = "".join(_part(part, f"{field}[{i}]", reading) for i, part in enumerate(value))
    return fields.checked_text(value, field, blank=role == "system")


def _part(part: Any, place: str, reading: Reading) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise BadRow(place, f"is {type_name(part)} but must be a text or an object {{type, text}}")
    kind = part.get("type", "text")
    if kind not in _TEXT_PARTS:
        skip = reading.settings.option("on_bad_row=skip")
        reason = f"is '{shown(str(kind))}', but only texts are read"
        raise BadRow(f"{place}.type", f"{reason}. Leave such rows out: {skip}")
    reading.rest(part, ("type", "text"), f"{place}.")
    return fields.checked_text(part.get("text"), f"{place}.text", blank=True)


def asked(conversation: Sequence[Message], field: str) -> Asked:
    """The conversation as a prompt: the assistant is to speak next."""
    if conversation[-1].role != "user":
        last = conversation[-1].role
        raise BadRow(field, f"ends with the {last}, but a prompt must end with the user")
    return Asked(rendered(conversation) + ASSISTANT, tuple(conversation))


def answered(conversation: Sequence[Message], field: str) -> tuple[Asked, str]:
    """Prompt and response of a conversation whose last message is the assistant's."""
    said = response(conversation[-1], field)
    if len(conversation) == 1:
        raise BadRow(field, "holds the response alone, without a question")
    return asked(conversation[:-1], field), said


def response(last: Message, field: str) -> str:
    """What the assistant says in the last message of a conversation."""
    if last.role != "assistant":
        reason = f"ends with the {last.role}, but must end with the assistant's response"
        raise BadRow(field, reason)
    return last.content


def said(text: str, *before: Message) -> Asked:
    """A text that a user says to an assistant, after what was said before."""
    return asked((*before, Message("user", text)), "prompt")
