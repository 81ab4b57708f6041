"""Rows of a file in the shape of XSTest, every one checked before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab import Inspection, UserError
from preflab.errors import nearest
from preflab.randomness import permutation
from preflab.rows import BadRow, path_digest, read_rows
from preflab.rows.fields import checked_text
from preflab_builtin.benchmarks.cases import value
from preflab_builtin.refusals.config import XSTestConfig

SAFE, UNSAFE = "safe", "unsafe"
LABELS = {SAFE: False, UNSAFE: True}
SAFE_TYPES = (
    "homonyms figurative_language safe_targets safe_contexts definitions nons_group_real_discr "
    "real_group_nons_discr historical_events privacy_public privacy_fictional"
).split()
UNSAFE_TYPES = [
    f"contrast_{name}"
    for name in (
        "homonyms figurative_language safe_targets safe_contexts definitions discr "
        "historical_events privacy"
    ).split()
]
TYPES = {**dict.fromkeys(SAFE_TYPES, False), **dict.fromkeys(UNSAFE_TYPES, True)}
"""XSTest's types of prompts -> whether they are unsafe."""

COLUMNS = (
    " The evaluator's options prompt, harm and type name the columns: type=null if the file has no "
    "types, harm=null if XSTest's types alone say what is unsafe."
)


@dataclass(frozen=True)
class Case:
    """A prompt. place: ``file:line``; type: "" where none is read."""

    place: str
    prompt: str
    harmful: bool
    type: str = ""


def inspect(config: XSTestConfig) -> Inspection:
    """The digest of the file; `UserError` at a bad row, for a prompt that is safe in one row and
    unsafe in another, and if most labels say the opposite of what XSTest's types say. Some that do
    are told, and that all prompts are of one kind."""
    found = cases(config)
    told = [] if config.harm is None else list(contradictions(config, found))
    told += one_kind(config, found)
    return Inspection(content=path_digest(Path(config.path)), notices=tuple(told))


def one_kind(config: XSTestConfig, found: Sequence[Case]) -> Iterator[str]:
    """A sentence if no prompt is harmful, or none is benign: whoever refuses all, or nothing, looks
    faultless then. `UserError` for a prompt that is both."""
    first: dict[str, Case] = {}
    for case in found:
        other = first.setdefault(case.prompt, case)
        if other.harmful is not case.harmful:
            raise UserError(
                f"{case.place}: {config.prompt}: is {UNSAFE if case.harmful else SAFE} here and "
                f"{UNSAFE if other.harmful else SAFE} in {other.place}: leave one of the rows out."
            )
    if len({case.harmful for case in found}) == 1:
        here, missing = (UNSAFE, "benign") if found[0].harmful else (SAFE, "harmful")
        faultless = "refuses everything" if found[0].harmful else "refuses nothing"
        yield (
            f"{config.path}: all {len(found)} prompts that are read are {here}, so that "
            f"{config.label}/{missing} is not measured, and a policy that {faultless} looks right."
        )


def contradictions(config: XSTestConfig, found: Sequence[Case]) -> Iterator[str]:
    """A sentence on rows whose label says otherwise than XSTest's own type, by which both rates
    would be swapped; `UserError` if these are most rows with such a type."""
    typed = [case for case in found if case.type.lower() in TYPES]
    wrong = [case for case in typed if TYPES[case.type.lower()] is not case.harmful]
    if not wrong:
        return
    label = UNSAFE if wrong[0].harmful else SAFE
    said = (
        f"{wrong[0].place}: {config.harm} says {label} of a prompt of the type {wrong[0].type}, "
        f"which is the other kind in XSTest; so in {len(wrong)} of {len(typed)} rows. To believe "
        "the types alone: harm=null; the labels alone: type=null."
    )
    if 2 * len(wrong) > len(typed):
        raise UserError(f"{said} Or set right the column {config.harm}.")
    yield said


def cases(config: XSTestConfig) -> list[Case]:
    """The rows that are used; `UserError` with ``file:line: field: reason`` at a bad one, with the
    nearest name, and for a file without rows."""
    found: list[Case] = []
    for row in read_rows(Path(config.path)):
        try:
            if row.problem is not None:
                raise row.problem
            found.append(_case(row.place, row.values, config))
        except BadRow as bad:
            cure = COLUMNS if "is not a column" in str(bad) else ""
            raise UserError(f"{row.place}: {bad}{cure}") from None
    if not found:
        raise UserError(f"{config.path}: there are no rows in it.")
    chosen = permutation(len(found), "evaluation", "benchmark rows")[: config.rows]
    return [found[i] for i in sorted(chosen)]


def _case(place: str, row: Mapping[str, Any], config: XSTestConfig) -> Case:
    prompt = checked_text(value(row, config.prompt), config.prompt)
    kind = "" if config.type is None else _word(row, config.type)
    if config.harm is not None:
        return Case(place, prompt, _harmful(_word(row, config.harm), config.harm, LABELS), kind)
    assert config.type is not None  # the config's check
    return Case(place, prompt, _harmful(kind, config.type, {**TYPES, **LABELS}), kind)


def _harmful(word: str, column: str, known: Mapping[str, bool]) -> bool:
    if word.lower() not in known:
        raise BadRow(column, f"is {word[:60]!r}. {nearest(word.lower(), known)}")
    return known[word.lower()]


def _word(row: Mapping[str, Any], column: str) -> str:
    return checked_text(value(row, column), column).strip()
