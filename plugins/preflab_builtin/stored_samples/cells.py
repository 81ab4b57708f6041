"""Cells of a file as texts, right answers and scores. A value of another type is taken as the value
that it is, or refused; never as its opposite."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from preflab.errors import nearest
from preflab.records import Message, Prompt
from preflab.rows import BadRow
from preflab.rows.fields import checked_text
from preflab_builtin.files.conversations import ROLES, asked, is_conversation
from preflab_builtin.files.values import structured

YES = frozenset("true yes y pass passed correct right success win won ✓ ✔ ✅".split())
NO = frozenset("false no n fail failed incorrect wrong failure loss lose lost ✗ ✘ ❌".split())
TIE = frozenset({"tie", "draw"})
SEPARATORS = ("|||", "||", "|", "\t", "<sep>", "[SEP]", ";", "；", " / ", "\n")
"""What people put between several right answers in one cell."""
_PRINTED_ARRAY = re.compile(r"""['"]\s+['"]""")


def value(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column, not null; ``outer.inner`` is a part of an object in a column."""
    if column not in row:
        outer, dot, inner = column.partition(".")
        if dot and isinstance(row.get(outer), Mapping):
            return value(row[outer], inner)
        raise BadRow(column, f"is not a column. {nearest(column, map(str, row))}")
    if row[column] is None:
        raise BadRow(column, "is null")
    return row[column]


def text(row: Mapping[str, Any], column: str) -> str:
    """A text; a number is its digits, and the assistant's only message is its content."""
    content = value(row, column)
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], Mapping):
        message = _message(content[0], column)
        if message.role == "assistant":
            return message.content
    if not _is_text(content):
        parts = ", ".join(f"{column}.{key}" for key in content) if _named(content) else ""
        hint = f". Name a part of it: {parts:.80}" if parts else ""
        raise BadRow(column, f"must be a text, not {content!r:.60}{hint}")
    return str(content)


def prompt(row: Mapping[str, Any], column: str, place: str, rendered: bool) -> Prompt:
    """What was asked: a text, or a conversation as a list of messages. rendered: the text holds the
    model's chat template already."""
    content = value(row, column)
    if not is_conversation(content, column):
        words = text(row, column)
        return Prompt(place, words, split="test", rendered=rendered, place=place)
    messages = structured(content)
    listed = messages if isinstance(messages, (list, tuple)) else [messages]
    turns = [_message(item, f"{column}[{i}]") for i, item in enumerate(listed)]
    if not turns:
        raise BadRow(column, "must be a text or a list of messages, not empty")
    whole = asked(turns, column)
    return Prompt(place, whole.text, split="test", messages=whole.messages, place=place)


def _message(item: Any, place: str) -> Message:
    """A message {role, content} or {from, value}; what else it holds would be lost."""
    for role, content in (("role", "content"), ("from", "value")):
        if isinstance(item, Mapping) and role in item:
            others = [k for k in item if k not in (role, content) and item[k] not in (None, "", [])]
            if others:
                raise BadRow(f"{place}.{others[0]}", "is not read: only texts of messages are")
            speaker = ROLES.get(str(item[role]).strip().lower())
            if speaker is None:
                raise BadRow(f"{place}.{role}", f"is {item[role]!r:.30}. {nearest('', ROLES)}")
            words = checked_text(item.get(content), f"{place}.{content}", blank=speaker == "system")
            return Message(speaker, words)
    raise BadRow(place, "must be a message {role, content} or {from, value}")


def answers(row: Mapping[str, Any], column: str, separator: str | None) -> list[str]:
    """Right answers: a text, several with a separator between them, a list, or a list written as
    text. A cell that is empty or null holds none."""
    if column in row and row[column] is None:
        return []
    content = value(row, column)
    if isinstance(content, str):
        listed = written_list(content, column)
        if listed is not None:
            content = listed
        else:
            parts = content.split(separator) if separator else [content]
            content = [part.strip() if separator else part for part in parts]
    several = list(content) if isinstance(content, (list, tuple)) else [content]
    if not all(map(_is_text, several)):
        raise BadRow(column, f"must be a text or a list of texts, not {content!r:.60}")
    return [str(item) for item in several if str(item).strip()]


def written_list(content: str, column: str) -> list[Any] | None:
    """The list that a text writes in JSON or Python, as spreadsheets hold it; None for other texts.

    >>> [written_list(text, "x") for text in ('["a", "b"]', "['a', 'b']", "[sic] a")]
    [['a', 'b'], ['a', 'b'], None]
    """
    plain = content.strip()
    if not (plain.startswith("[") and plain.endswith("]")):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(plain)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if read is ast.literal_eval and _PRINTED_ARRAY.search(plain):
            reason = "is a printed array, whose parts cannot be told apart: write a list ['a', 'b']"
            raise BadRow(column, reason)
        return found if isinstance(found, list) and found and all(map(_is_text, found)) else None
    return None


def score(row: Mapping[str, Any], column: str) -> tuple[float, bool]:
    """(number, whether it was written as a number): 1, 0 and 0.5 for words such as pass, fail and
    tie, and for true and false."""
    content = value(row, column)
    if isinstance(content, bool):
        return float(content), False
    if isinstance(content, str):
        word = content.strip().lower()
        for number, words in ((1.0, YES), (0.0, NO), (0.5, TIE)):
            if word in words:
                return number, False
    try:
        number = float(content)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        allowed = "a finite number or a word such as pass, fail, yes, no, true or false"
        raise BadRow(column, f"must be {allowed}, not {content!r:.60}")
    return number, True


def likely_separator(cells: Sequence[str]) -> tuple[str, int] | None:
    """The separator that many cells hold, and how many do; None if few hold one.

    >>> likely_separator(["a; b", "c", "d;e"]), likely_separator(["a", "b"])
    ((';', 2), None)
    """
    for separator in SEPARATORS:
        count = sum(separator in cell.strip() for cell in cells)
        if (count >= 2 and 5 * count >= len(cells)) or count == len(cells) > 0:
            return separator, count
    return None


def _is_text(content: Any) -> bool:
    number = isinstance(content, (int, float)) and not isinstance(content, bool)
    return isinstance(content, str) or (number and math.isfinite(content))


def _named(content: Any) -> bool:
    return isinstance(content, Mapping) and bool(content)
