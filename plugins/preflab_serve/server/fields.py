"""What a request may say, as typed values: a field that is not supported is refused by its name,
because an answer that ignores it would not be the one that was asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from preflab.errors import nearest
from preflab_people.server.answers import Refused

Row = Mapping[str, Any]
MOST_STOPS = 16
"""OpenAI allows 4; lm-evaluation-harness sends more."""
MOST_SHOWN = 80
"""Characters of a wrong word in a message. The nearest of the right ones is looked for with as
many: with megabytes that takes seconds, in which nobody else is answered."""


def refuse(field: str, sentence: str, status: int = 400) -> NoReturn:
    """Refuse a request because of one field."""
    raise Refused(status, "invalid_value", sentence, field=field)


def only(row: Row, supported: Sequence[str], neutral: Mapping[str, Sequence[Any]]) -> None:
    """Refuse fields that are not supported. neutral: of some the values that change nothing; null
    is one for every field."""
    for name, value in row.items():
        if name in supported or value is None:
            continue
        shown = name[:MOST_SHOWN]
        if name in neutral:
            if not any(type(value) is type(v) and value == v for v in neutral[name]):
                allowed = " or ".join(map(json.dumps, neutral[name]))
                refuse(name, f"{name!r} is not supported: leave it out, or give {allowed}.")
            continue
        known = nearest(shown, [*supported, *neutral])
        raise Refused(400, "unknown_parameter", f"{shown!r} is not supported. {known}", field=shown)


def text(row: Row, name: str, default: str | None = None) -> str:
    """A text."""
    value = row.get(name)
    if value is None and default is not None:
        return default
    return a_text(value, name)


def a_text(value: Any, name: str) -> str:
    """A value that must be a text; half of a character is none."""
    if not isinstance(value, str):
        refuse(name, f"{name!r} must be a text.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        refuse(name, f"{name!r} holds half of a character (a lone surrogate).")
    return value


def truth(row: Row, name: str) -> bool:
    """True or false; false if it is not there."""
    value = row.get(name)
    if value is not None and not isinstance(value, bool):
        refuse(name, f"{name!r} must be true or false.")
    return bool(value)


def whole(row: Row, name: str, least: int, most: int) -> int | None:
    """A whole number in a range; None if it is not there."""
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        refuse(name, f"{name!r} must be a whole number from {least} to {most}.")
    return value


def number(row: Row, name: str, least: float, most: float) -> float | None:
    """A number in a range; None if it is not there."""
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(name, f"{name!r} must be a number.")
    if not (least <= value <= most and math.isfinite(value)):
        refuse(name, f"{name!r} must be from {least:g} to {most:g}.")
    return float(value)


def stops(row: Row) -> tuple[str, ...]:
    """Texts that end a response."""
    value = row.get("stop")
    if value is None:
        return ()
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or len(given) > MOST_STOPS or "" in given:
        refuse(
            "stop",
            f"'stop' must be a text or a list of up to {MOST_STOPS} texts, none of them empty.",
        )
    return tuple(a_text(one, "stop") for one in given)


def wants_usage(row: Row) -> bool:
    """Whether a stream ends with the numbers of tokens."""
    options = row.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict) or not truth(row, "stream"):
        refuse(
            "stream_options", "'stream_options' must be an object, and goes with 'stream': true."
        )
    only(options, ["include_usage"], {"include_obfuscation": (False,)})
    return truth(options, "include_usage")
