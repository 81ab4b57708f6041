"""Answers that repeat their prompt: the form of sets that were made for scoring whole texts. Read
as they are, the prompt would be there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from preflab.rows import BadRow, shown
from preflab_builtin.files.asking import Case
from preflab_builtin.files.columns import Reading, Remark
from preflab_builtin.files.transcripts import ASSISTANT
from preflab_builtin.files.values import blank

HEAD = 200
"""Groups of rows at the start of a file that decide its form."""
_NEARLY_ALL = 0.95
_SHORTEST = 8
"""Characters of a prompt below which an answer may begin with it by chance."""
_FIRST_PART = 1000
"""Characters that a template may write before a prompt."""


def repeated(cases: Iterable[Case]) -> str | None:
    """What stands before the prompt in nearly all answers of a file's start: "" if they begin with
    it, else the start of a wrapping, as "[INST]". None: they do not repeat it, or have no such
    form in common."""
    found = Counter[str | None]()
    for befores in filter(None, map(_befores, cases)):
        found[None if None in befores else max(map(str, befores), key=len)] += 1
    form, count = next(iter(found.most_common(1)), (None, 0))
    return form if count >= _NEARLY_ALL * found.total() else None


def once(case: Case, reading: Reading) -> Case:
    """The case with its prompt once; `BadRow` for one of another form than the file, or if the
    prompt is in a wrapping. Where the file has no such form, it is only counted."""
    befores, form = _befores(case), reading.repeats
    if not befores:
        return case
    everywhere = None not in befores
    if form is None:
        _count(case, befores, reading)
        return case
    if form and everywhere and any(befores):
        raise BadRow("response", _wrapped(case, form, reading))
    if form:
        return case
    if any(before != "" for before in befores):
        reason = "does not begin with its prompt, as it does in nearly all other rows"
        skip = reading.settings.option("on_bad_row=skip")
        raise BadRow("response", f"{reason}. Mend it, or leave it out: {skip}")
    reading.remarks[Remark.TAKEN_OFF] += 1
    start, chat = _start(case), bool(case.asked.messages)
    rest = [_after(start, response) for response in case.responses]
    if not all(text.strip() for text in rest):
        raise BadRow("response", "is empty after its prompt, which it repeats")
    return case._replace(responses=tuple(text.lstrip() if chat else text for text in rest))


def _count(case: Case, befores: Sequence[str | None], reading: Reading) -> None:
    if None not in befores:
        reading.remarks[Remark.HOLDS if any(befores) else Remark.BEGINS] += 1
    elif len(befores) == 2 and len(case.preferences) == 1 and befores != [None, None]:
        better = case.preferences[0][0]
        alone = Remark.WORSE_ALONE if befores[better] is None else Remark.BETTER_ALONE
        reading.remarks[alone] += 1


def _wrapped(case: Case, form: str, reading: Reading) -> str:
    option = reading.settings.option
    cure = "Leave only the answer there"
    if case.responses[0].count(ASSISTANT) == 1 and reading.settings.record_type == "rankings":
        cure += f", or read the transcripts without the column: {option('ignore=[prompt]')}"
    return (
        f"holds its prompt again, after '{shown(form)}', as nearly all answers of this file do, "
        f"and the model would read it twice. {cure}."
    )


def _start(case: Case) -> str:
    """What an answer may repeat: the prompt, or the instruction that a template made one of."""
    if case.asked.messages:
        return case.asked.messages[-1].content
    text, given = case.asked.text, case.about.get("instruction")
    if not isinstance(given, str) or not blank(case.about.get("input")):
        return text
    return text if case.responses[0].startswith(text) or given not in text else given


def _after(start: str, response: str) -> str:
    """The response without the prompt that it begins with."""
    if response.startswith(start):
        return response[len(start) :]
    rest = response.lstrip()[len(start.strip()) :]
    return rest.lstrip() if start[-1:].isspace() else rest  # the prompt has that space already


def _befores(case: Case) -> list[str | None]:
    """What stands before the prompt in each response, None where it is not in its first part;
    nothing if there is nothing to compare."""
    start = _start(case).strip() if case.responses else ""
    if len(start) < _SHORTEST:
        return []
    places = [response.find(start, 0, _FIRST_PART + len(start)) for response in case.responses]
    return [
        None if at < 0 else response[:at].strip()
        for at, response in zip(places, case.responses, strict=True)
    ]
