"""Cells of a file as texts, right answers and scores. A value of another type is taken as the value
that it is, or refused; never as its opposite."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from preflab.errors import nearest
from preflab.records import Message, Prompt
from preflab.rows import BadRow, fields
from preflab_builtin.files.conversations import ROLES, asked, is_conversation
from preflab_builtin.files.values import structured

TIE = frozenset({"tie", "draw"})
SEPARATORS = ("|||", "||", "|", "\t", "<sep>", "[SEP]", ";", "；", " / ", "\n")
"""What people put between several right answers in one cell."""
_NEARLY = {
    re.compile(r"[+-]?\d[\d.]*,[\d,.]*\d"): (
        "holds numbers with a comma: write 4.5 for 4,5, and 1234 for 1,234"
    ),
    re.compile(r"[+-]?\d+([.,]\d+)?\s*%"): "holds percentages: write numbers, 85 for 85%",
    re.compile(r"\d+([.,]\d+)?\s*(/|out of|of)\s*\d+"): (
        "holds fractions: write numbers, 3 or 0.6 for 3/5, alike in all rows"
    ),
}
"""Texts that people read as numbers, and what to write instead."""
_REASONING = re.compile(r"\s*<(?:think|thinking|reasoning)>")
_REASONED = re.compile(r".*</(?:think|thinking|reasoning)>", re.DOTALL)


def value(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column, not null; ``outer.inner`` is a part of an object in a column, which
    may be written as text."""
    if column not in row:
        outer, dot, inner = column.partition(".")
        whole = structured(row.get(outer)) if dot else None
        if isinstance(whole, Mapping):
            return value(whole, inner)
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
        raise BadRow(column, f"must be a text, not {content!r:.60}{_parts(content, column)}")
    return str(content)


def _parts(content: Any, column: str) -> str:
    """Which parts of an object can be named in its place."""
    if not isinstance(content, Mapping) or not content:
        return ""
    parts = ", ".join(f"{column}.{key}" for key in content)
    return f". Name a part of it: {parts:.80}"


def without_reasoning(text: str) -> str:
    """A text without what a model thought aloud before its answer, between <think> and </think>.
    Where the block has no end, the answer was never begun; where it has no beginning, the prompt
    held that.

    >>> without_reasoning("<think>Rome?</think> Paris"), without_reasoning("Rome? </think>Paris")
    ('Paris', 'Paris')
    """
    rest = _REASONED.sub("", text, count=1)
    if rest != text:
        return rest.strip()
    return "" if _REASONING.match(text) else text


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
            words = fields.checked_text(
                item.get(content), f"{place}.{content}", blank=speaker == "system"
            )
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
        answer = structured(content)
        if isinstance(answer, Mapping) and {"text", "answer_start"} <= answer.keys():  # SQuAD
            content = answer
        elif listed is not None:
            content = listed
        else:
            parts = content.split(separator) if separator else [content]
            content = [part.strip() if separator else part for part in parts]
    several = list(content) if isinstance(content, (list, tuple)) else [content]
    if not all(map(_is_text, several)):
        allowed = "must be a text or a list of texts"
        raise BadRow(column, f"{allowed}, not {content!r:.60}{_parts(content, column)}")
    return [str(item) for item in several if str(item).strip()]


def written_list(content: str, column: str) -> list[Any] | None:
    """The list that a text writes in JSON or Python, as spreadsheets hold it; None for other texts.

    >>> [written_list(text, "x") for text in ('["a", "b"]', "['a', 'b']", "[sic] a")]
    [['a', 'b'], ['a', 'b'], None]
    """
    plain = content.strip()
    if not (plain.startswith("[") and plain.endswith("]")):
        return None
    found = fields.written(plain, column)
    return found if isinstance(found, list) and found and all(map(_is_text, found)) else None


def score(row: Mapping[str, Any], column: str) -> tuple[float, bool]:
    """(number, whether it was written as a number): 1, 0 and 0.5 for words such as pass, fail and
    tie, and for true and false."""
    content = value(row, column)
    if isinstance(content, bool):
        return float(content), False
    if isinstance(content, str):
        said = 0.5 if content.strip().lower() in TIE else fields.yes_or_no(content)
        if said is not None:
            return float(said), False
        for kind, cure in _NEARLY.items():
            if kind.fullmatch(content.strip()):
                raise BadRow(column, cure)
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
