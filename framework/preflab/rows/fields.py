"""Columns of a row, checked: each function gives the value as it is used, or raises `BadRow` with
the column and the reason."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import math
import re
import tokenize
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from preflab.errors import nearest
from preflab.records import SPLITS
from preflab.rows.row import BadRow, shown, type_name

SPLIT_ALIASES: dict[str, str] = {
    **{s: s for s in SPLITS},
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}
YES = frozenset(
    "true yes y t on pass passed correct right success win won desirable liked like good up "
    "positive thumbs_up \U0001f44d ✓ ✔ ✅".split()
)
NO = frozenset(
    "false no n f off fail failed incorrect wrong failure loss lose lost undesirable disliked "
    "dislike bad down negative thumbs_down \U0001f44e ✗ ✘ ❌".split()
)
"""Words of files for true and false, in lower case."""
_SIDE_BY_SIDE = re.compile(r"""['"]\s+['"]""")

SPLIT_WORDS = {
    **SPLIT_ALIASES,
    **{"training": "train", "testing": "test", "eval": "test", "evaluation": "test"},
}
"""Words in names and the splits that `datasets` takes them for."""


def splits_in(name: str) -> set[str]:
    """The splits that the words of a name say, as of a file or a folder.

    >>> splits_in("train_prefs-2"), splits_in("Eval"), splits_in("holdout")
    ({'train'}, {'test'}, set())
    """
    words = re.split(r"[^a-z]+", name.lower())
    return {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}


def text_digest(text: str) -> str:
    """Sixteen hexadecimal digits that name a text: an id where a row has none."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def text(row: Mapping[str, Any], field: str, blank: bool = False) -> str:
    """A text that can be written to a file again. blank: it may be empty."""
    return checked_text(row.get(field), field, blank)


def checked_text(value: Any, field: str, blank: bool = False) -> str:
    """The same for a value that is not a column of its own. field: its name in messages."""
    if not isinstance(value, str):
        raise BadRow(field, f"is {type_name(value)} but must be a text")
    if not blank and not value.strip():
        raise BadRow(field, "is empty")
    if "\0" in value:
        raise BadRow(field, f"holds a NUL character at position {value.index(chr(0))}")
    try:
        if not value.isascii():
            value.encode("utf-8")
    except UnicodeEncodeError as error:
        reason = f"holds half a surrogate pair at position {error.start}, which is not a character"
        raise BadRow(field, reason) from None
    return value


def identifier(row: Mapping[str, Any], field: str) -> str:
    """An id: a text, or a whole number as text (1.0 is 1: Parquet and pandas hold numbers with gaps
    so); "" if the row has none, or an empty one."""
    value = row.get(field)
    if value is None or value == "":
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return checked_text(value, field)


def configured_identifier(row: Mapping[str, Any], column: str | None, usual: str) -> str:
    """An id from the column that a config names (each row must have it), else the usual one."""
    if column is not None and column not in row:
        hint = nearest(column, map(shown, row))
        raise BadRow(shown(column), f"the config names this column, but the row has none. {hint}")
    return identifier(row, column or usual)


def tags(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The column ``tags`` without white space around them: a list of texts, which a CSV cell spells
    (["a", "b"]), or a text, which is one tag.

    >>> tags({"tags": '["harmful", "private"]'}), tags({"tags": "open qa "}), tags({"tags": []})
    (('harmful', 'private'), ('open qa',), ())
    """
    value = row.get("tags")
    if isinstance(value, str):
        spelled = written(value, "tags")
        value = [value] * bool(value.strip()) if spelled is None else spelled
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ()
    return tuple(tag.strip() for tag in texts({"tags": value}, "tags"))


def split(row: Mapping[str, Any], column: str | None = None) -> str:
    """train, validation or test (or an alias of `SPLIT_ALIASES`); "" if the row has none, so that a
    filter decides. column: the column that a config names; None: ``split``, where there is one."""
    value = configured_identifier(row, column, "split")
    if value and value not in SPLIT_ALIASES:
        raise BadRow(column or "split", f"is '{shown(value)}'. {nearest(value, SPLIT_ALIASES)}")
    return SPLIT_ALIASES.get(value, "")


def yes_or_no(text: str) -> bool | None:
    """What a word for true or false says, in any case; None for any other text.

    >>> [yes_or_no(word) for word in ("Pass", "FALSE ", "perhaps")]
    [True, False, None]
    """
    word = text.strip().lower()
    return word in YES if word in YES | NO else None


def written(text: str, field: str) -> list[Any] | dict[Any, Any] | None:
    """The list or object that a text writes in JSON or Python, as spreadsheets and pandas hold it;
    None for other texts. `BadRow` for an array as numpy prints it: Python would join its parts.

    >>> [written(text, "x") for text in ('["a", "b"]', "{'a': None}", "[sic] a")]
    [['a', 'b'], {'a': None}, None]
    """
    plain = text.strip()
    if not plain.startswith(("[", "{")):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(plain)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if read is ast.literal_eval and _SIDE_BY_SIDE.search(plain) and _joined(plain):
            reason = "is a printed array, whose parts cannot be told apart: write a list ['a', 'b']"
            raise BadRow(field, reason)
        return found if isinstance(found, (list, dict)) else None
    return None


def _joined(source: str) -> bool:
    """Whether texts stand side by side in a Python literal."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    types = [token.type for token in tokens if token.type != tokenize.NL]
    return (tokenize.STRING, tokenize.STRING) in pairwise(types)


def one_of(value: Any, field: str, allowed: Sequence[Any]) -> Any:
    """The value, which must be one of a few."""
    if value not in allowed:
        raise BadRow(field, f"is {shown(repr(value))}. Allowed: {', '.join(map(str, allowed))}")
    return value


def items(row: Mapping[str, Any], field: str) -> Sequence[Any]:
    """A list."""
    value = row.get(field)
    if not isinstance(value, (list, tuple)):
        raise BadRow(field, f"is {type_name(value)} but must be a list")
    return value


def texts(row: Mapping[str, Any], field: str) -> list[str]:
    """A list of texts, none of them empty."""
    return [checked_text(value, f"{field}[{i}]") for i, value in enumerate(items(row, field))]


def number(value: Any, field: str) -> float:
    """A finite number; true and false are not numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadRow(field, f"is {type_name(value)} but must be a number")
    if not math.isfinite(value):
        raise BadRow(field, f"is {value} but must be a finite number")
    return float(value)


def numbers(
    row: Mapping[str, Any], field: str, count: int | None = None, what: str = "values"
) -> list[float]:
    """A list of finite numbers; if ``count`` is given, one for each of that many ``what``."""
    values = [number(value, f"{field}[{i}]") for i, value in enumerate(items(row, field))]
    if count is not None and len(values) != count:
        raise BadRow(field, f"has {len(values)} numbers for {count} {what}")
    return values
