"""What the page may send, as typed records. Anything else is refused with the field's name."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preflab_people.server.answers import Refused

Row = Mapping[str, Any]
LONGEST_TEXT = 20_000
"""Characters of a demonstration; a body of 64 KB holds as many of most scripts."""
LONGEST_NOTE = 4_000
MOST_OUTPUTS = 64
MOST_FLAGS = 64


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """An answer by place, as the outputs stood on the page. Its fields mean what they mean in
    `preflab_people.judgments.Answer`."""

    ranks: tuple[int | None, ...] = ()
    likert: tuple[int | None, ...] = ()
    flags: tuple[tuple[str, ...], ...] = ()
    written: str = ""
    notes: str = ""
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """One sending of an answer. key: the same at every retry. seconds: in which the page was in
    use. instructions: version that was shown."""

    task: str
    key: str
    answer: ShownAnswer
    seconds: float
    instructions: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An unfinished answer and what the page needs to go on with it, as JSON of our own form."""

    task: str
    body: dict[str, Any]


def parse(body: bytes) -> Row:
    """The JSON object in a body. Raises Refused."""
    try:
        value = json.loads(body, parse_constant=_no_constant, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "json", f"The body is no valid JSON: {_fault(error)}.") from None
    if not isinstance(value, dict):
        raise Refused(400, "json", "The body must be a JSON object.")
    return value


def read_login(row: Row) -> str:
    """The token of {token}."""
    only(row, "token")
    return word(row, "token", r"[A-Za-z0-9_-]{16,128}")


def read_task(row: Row) -> str:
    """The task of {task}."""
    only(row, "task")
    return word(row, "task", TASK)


def read_nothing(row: Row) -> None:
    """The empty object."""
    only(row)


def read_version(row: Row) -> int:
    """The version of {version}."""
    only(row, "version")
    return whole(row, "version", 1, 1_000_000)


def read_draft(row: Row) -> Draft:
    """{task, body}; body: {answer, seconds, step, better, active, changes}."""
    only(row, "task", "body")
    body = row.get("body")
    if not isinstance(body, dict):
        raise bad("body", "an object")
    only(body, "answer", "seconds", "step", "better", "active", "changes")
    read_answer(body.get("answer", {}))  # for its refusals
    number(body, "seconds", 0, MOST_SECONDS)
    whole(body, "step", 0, MOST_OUTPUTS)
    whole(body, "active", 0, MOST_OUTPUTS)
    whole(body, "changes", 0, 2**53)
    if not isinstance(body.get("better", False), bool):
        raise bad("better", "true or false")
    return Draft(word(row, "task", TASK), body)


def read_submission(row: Row) -> Submission:
    """{task, key, answer, seconds, instructions}."""
    only(row, "task", "key", "answer", "seconds", "instructions")
    return Submission(
        task=word(row, "task", TASK),
        key=word(row, "key", KEY),
        answer=read_answer(row.get("answer")),
        seconds=number(row, "seconds", 0, MOST_SECONDS),
        instructions=whole(row, "instructions", 0, 1_000_000),
    )


def read_answer(row: Any) -> ShownAnswer:
    """An answer by place; whether it fits its task is for `preflab_people.server.places`."""
    if not isinstance(row, dict):
        raise bad("answer", "an object")
    only(row, "ranks", "likert", "flags", "written", "notes", "skipped")
    return ShownAnswer(
        ranks=tuple(_ranks(row, "ranks", MOST_OUTPUTS)),
        likert=tuple(_ranks(row, "likert", 7)),
        flags=tuple(_names(item) for item in _list(row, "flags", MOST_OUTPUTS)),
        written=text(row, "written", LONGEST_TEXT),
        notes=text(row, "notes", LONGEST_NOTE),
        skipped=text(row, "skipped", 200),
    )


SURVEY_FIELDS = ("gender", "ethnicity", "nationality", "age", "education")
"""InstructGPT, table 12."""


def read_survey(row: Row) -> dict[str, Any]:
    """{answers: {field: text or list of texts}, link}. link: the person agrees that the answers
    stand with their pseudonym."""
    only(row, "answers", "link")
    answers = row.get("answers")
    if not isinstance(answers, dict):
        raise bad("answers", "an object")
    only(answers, *SURVEY_FIELDS)
    if not isinstance(row.get("link"), bool):
        raise bad("link", "true or false")
    kept = {}
    for name, value in answers.items():
        values = _list(answers, name, 20) if isinstance(value, list) else [value]
        kept[name] = [text({name: item}, name, 100) for item in values]
    return {"answers": kept, "link": row["link"]}


# --- fields ---

TASK = r"[A-Za-z0-9_.-]{1,64}"
KEY = r"[A-Za-z0-9-]{8,64}"
MOST_SECONDS = 7 * 24 * 3600.0


def only(row: Row, *names: str) -> None:
    """Refuse keys that are not known: a misspelt field would be lost in silence."""
    if unknown := sorted(set(row) - set(names)):
        raise Refused(422, "field", f"Unknown field {unknown[0][:80]!r}.")


def text(row: Row, name: str, longest: int) -> str:
    """A text, "" if it is not there. NUL characters and lone surrogates are refused: not every
    database can hold them."""
    value = row.get(name, "")
    if not isinstance(value, str):
        raise bad(name, "a text")
    if len(value) > longest:
        raise Refused(422, "too_long", f"{name} is longer than {longest} characters.")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise Refused(422, "characters", f"{name} holds a character that is not allowed.")
    return value


def word(row: Row, name: str, pattern: str) -> str:
    """A text of a known form, which must be there."""
    value = row.get(name)
    if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
        raise bad(name, f"a text of the form {pattern}")
    return value


def number(row: Row, name: str, least: float, most: float) -> float:
    """A finite number in a range, 0 if it is not there."""
    value = row.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise bad(name, "a number")
    if not (least <= value <= most and math.isfinite(value)):  # a huge integer is no float
        raise bad(name, f"between {least:g} and {most:g}")
    return float(value)


def whole(row: Row, name: str, least: int, most: int) -> int:
    """A whole number in a range, 0 if it is not there."""
    value = row.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise bad(name, f"a whole number between {least} and {most}")
    return value


def bad(name: str, wanted: str) -> Refused:
    """The refusal of a field's value."""
    return Refused(422, "field", f"{name} must be {wanted}.")


def _list(row: Row, name: str, most: int) -> Sequence[Any]:
    value = row.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise bad(name, f"a list of at most {most}")
    return value


def _ranks(row: Row, name: str, most: int) -> list[int | None]:
    return [
        None if item is None else whole({name: item}, name, 1, most)
        for item in _list(row, name, MOST_OUTPUTS)
    ]


def _names(item: Any) -> tuple[str, ...]:
    row = {"flags": item}
    names = tuple(text({"flags": name}, "flags", 100) for name in _list(row, "flags", MOST_FLAGS))
    if len(set(names)) < len(names):
        raise bad("flags", "names that differ")
    return names


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(name for name, n in Counter(name for name, _ in pairs).items() if n > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice")
    return row


def _fault(error: Exception) -> str:
    """What is wrong with a body, and where. Nothing of the body itself but the name of a key."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is no {error.encoding.upper()}"
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    if "digits" in str(error):
        return "a number has too many digits"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
