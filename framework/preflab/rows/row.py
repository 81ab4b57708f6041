"""A row of a file, and the reason why a row is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class BadRow(Exception):
    """Why a row is refused: the field and the reason. Whoever reads the rows turns it into a
    `preflab.UserError` that names file and line, or counts the row as left out."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")


class Row(NamedTuple):
    """One row. place: ``file:line``, or ``file:row N`` in formats without lines. values: by column.
    problem: why it could not be read; then it has no values."""

    place: str
    values: Mapping[str, Any]
    problem: BadRow | None = None


def type_name(value: Any) -> str:
    """What a value is, in JSON's words.

    >>> type_name([1]), type_name(None)
    ('a list', 'null')
    """
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return "null" if value is None else names.get(type(value), f"of type {type(value).__name__}")


def shown(text: str, limit: int = 60) -> str:
    """A text from a file, fit for a message: control characters, lone surrogates and line breaks
    are escaped, and it is cut after ``limit`` characters.

    >>> shown("a" + chr(10) + "b")
    'a\\\\nb'
    """
    if len(text) <= limit and text.isprintable():
        return text
    plain = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
        for c in text[: limit + 1]
    )
    return plain if len(plain) <= limit else f"{plain[:limit]}..."
