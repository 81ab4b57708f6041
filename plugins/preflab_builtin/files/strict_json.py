"""JSON as data should be: what Python's parser takes but nobody means (NaN, 1e999, a key twice) is refused with a reason."""

from __future__ import annotations

import json
import math
from typing import Any

from preflab_builtin.files.rows import BadRow

_MOST_DIGITS = 100
"""Longer integers are refused: Python gives up at 4300 digits, float() at 309, and no id or rating needs more."""


def parse(data: bytes, *, ends_file: bool = False) -> Any:
    """The JSON value in these bytes; `BadRow` says what is wrong and in which column.

    ends_file: the bytes run up to the end of the file without a newline, so that a broken value may be a cut one.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRow(
            "UTF-8",
            f"byte 0x{data[error.start]:02x} at position {error.start} of the line is not valid UTF-8",
        ) from None
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except json.JSONDecodeError as error:
        at = (
            f" (column {error.colno})"
            if error.lineno == 1
            else f" (line {error.lineno}, column {error.colno})"
        )
        cut = "; the file ends here without a newline: was it cut off?" if ends_file else ""
        raise BadRow("JSON", f"{error.msg}{at}{cut}") from None
    except RecursionError:
        raise BadRow("JSON", "is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadRow(shown(twice), "stands twice in one object")
    return found


def _constant(text: str) -> float:
    raise BadRow("JSON", f"{text} is not a JSON number")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise BadRow("JSON", f"the number {text[:40]} is too large")
    return value


def _int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise BadRow("JSON", f"an integer of {len(text)} digits is too large")
    return int(text)


def shown(text: str, limit: int = 60) -> str:
    """Foreign text for a message: control characters, lone surrogates and line breaks escaped, cut at the limit."""
    plain = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
        for c in text[: limit + 1]
    )
    return plain if len(plain) <= limit else f"{plain[:limit]}..."
