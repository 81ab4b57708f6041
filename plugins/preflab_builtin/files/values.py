"""Values of another type than usual: they are the value that they spell, or they are refused."""

from __future__ import annotations

import math
from typing import Any

from preflab.rows import BadRow, fields, shown, type_name

_NUMBERS = {"1": True, "1.0": True, "+1": True, "0": False, "0.0": False, "-1": False}
_NOTHING = {"nan", "none", "null", "<na>", "n/a", "nat", "undefined"}


def truth(value: Any, field: str) -> bool:
    """True or false, however a file spells it; `BadRow` for anything else.

    >>> truth("False", "label"), truth(1, "label"), truth("yes", "label"), truth(0.0, "label")
    (False, True, True, False)
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and value in (0, 1, -1):
        return value == 1
    if isinstance(value, str):
        found = _NUMBERS.get(value.strip(), fields.yes_or_no(value))
        if found is not None:
            return found
    what = f"'{shown(value)}'" if isinstance(value, str) else shown(repr(value))
    raise BadRow(field, f"is {what} but must be true or false (or 1 or 0, yes or no)")


def numeric(value: Any, field: str) -> float:
    """A finite number, also where a file spells it as a text ("3.5"); true and false are none."""
    if type(value) is int:
        return float(value)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise BadRow(field, f"is '{shown(value)}' but must be a number") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadRow(field, f"is {type_name(value)} but must be a number")
    if not math.isfinite(value):
        raise BadRow(field, f"is {value} but must be a finite number")
    return float(value)


def blank(value: Any) -> bool:
    """Whether a value says nothing: null, NaN, an empty text or list, or a list of such."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    if isinstance(value, str):
        return not value.strip() or value.strip() in ("[]", "{}")
    if isinstance(value, dict):
        return all(map(blank, value.values()))
    return isinstance(value, (list, tuple)) and all(map(blank, value))


def listed(value: Any) -> Any:
    """The list that a text spells, where nothing but a list can be meant."""
    if isinstance(value, str) and value.strip()[:1] == "[":
        return _read(value)
    return structured(value)


def says_nothing(text: str) -> bool:
    """Whether a text is a word for nothing, as programs write it ("nan", "None")."""
    return len(text) < 20 and text.strip().lower() in _NOTHING  # most texts are long


def structured(value: Any) -> Any:
    """The list or object that a text spells (a CSV cell, a column that pandas wrote); any other
    value as it is. Only texts that begin like a list of objects or of texts are tried: what people
    write to each other does not."""
    if not isinstance(value, str) or value[:_INDENT].lstrip()[:2] not in _OPENINGS:
        return value
    return _read(value)


def _read(value: str) -> Any:
    try:
        found = fields.written(value, "")
    except BadRow:  # a printed array: whoever needs a list refuses the text
        return value
    return value if found is None else found


_INDENT = 80
"""White space that may stand before a list."""
_OPENINGS = {"[{", "[[", '["', "['", '{"', "{'"}
