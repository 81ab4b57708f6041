"""JSON as data should be: what Python's parser accepts although the format does not (NaN, 1e999, a
key twice in one object) is refused with a reason."""

from __future__ import annotations

import json
import math
from typing import Any

from preflab.rows.row import BadRow, shown

_MOST_DIGITS = 100
"""Longer integers are refused: Python stops at 4300 digits, float() at 309; no id needs more."""


def parse_json(data: bytes, *, ends_file: bool = False) -> Any:
    """The JSON value in these bytes; `BadRow` says what is wrong and in which column.

    ends_file: the file ends with these bytes, without a newline, so that a broken value may be one
    that was cut off.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = data[error.start]
        raise BadRow(
            "UTF-8", f"byte 0x{byte:02x} at position {error.start} of the line is not valid UTF-8"
        ) from None
    try:
        if text.startswith("{"):  # nearly every line is an object and nothing else
            value, end = STRICT.raw_decode(text)
            if end == len(text):
                return value
        return STRICT.decode(text)
    except json.JSONDecodeError as error:
        line = "" if error.lineno == 1 else f"line {error.lineno}, "
        cut = "; the file ends here without a newline: was it cut off?" if ends_file else ""
        reason = error.msg
        if reason == "Extra data" and error.doc[error.pos :].lstrip().startswith("{"):
            reason, cut = "Extra data: another object begins here, but a row is one object", ""
        raise BadRow("JSON", f"{reason} ({line}column {error.colno}){cut}") from None
    except RecursionError:
        raise BadRow("JSON", "is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise BadRow(shown(repeated), "occurs twice in one object")
    return values


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


STRICT = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int
)
"""Raises `BadRow` where a value is JSON to Python only."""
LENIENT = json.JSONDecoder(parse_float=str, parse_int=str)
"""Finds where such a value ends."""
