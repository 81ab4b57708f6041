"""Records of Argilla 2, and settings of a dataset that holds them.

    import argilla as rg
    settings = rg.Settings.from_json("argilla_settings.json")
    dataset = rg.Dataset("round", settings=settings, client=client).create()
    dataset.records.from_json("argilla_records.json")

A record has the fields prompt, response_1, response_2, ...; the questions are ranking, likert_1,
... (1 to 7), flags_1, ..., completion (a better answer, or the demonstration), notes and skipped
(the reason; the person's response is then discarded). Runs and gold are not in it, so that whoever
labels there is blind; tasks keep their ids.

Argilla knows people by UUID: ``user_id`` is made of the pseudonym (`user_id`), and the metadata say
the pseudonyms. Its server takes responses of users that it has: make them with these ids first.

Argilla's server keeps ranks, with ties. Its SDK leaves the ranks out when it reads a ranking back:
such an export is read as a strict order, and a remark says so. It leaves out as well whether
somebody handed an answer in; then every answer counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from preflab.rows import BadRow, fields, read_table, shown
from preflab_builtin.files import annotated
from preflab_builtin.files.annotated import Given
from preflab_builtin.files.labelers import labeler_group
from preflab_builtin.files.values import numeric
from preflab_people.exchange.blind import (
    ABOUT,
    NO_FLAG,
    Sheets,
    about_task,
    answer_of,
    one_text,
    says_something,
    sheets,
    task_of,
)
from preflab_people.exchange.labels import (
    LEFT_OUT,
    MOST_LIKERT,
    Gathering,
    Labels,
    prompt_of,
    shown_prompt,
)
from preflab_people.exchange.writing import write_list, write_text
from preflab_people.judgments import Answer, Judgment, Task

RECORDS, SETTINGS = "argilla_records.json", "argilla_settings.json"
STRICT = (
    "{n} rankings have no ranks, as Argilla's SDK writes them: they are read as strict orders, and "
    "their ties are lost. An export of the server's own interface has ranks."
)
NO_STATUS = (
    "{n} records do not say who handed in and who saved a draft, as Argilla's SDK writes them: all "
    "answers count."
)
_PEOPLE = UUID("5d9c6a54-5a0e-4b38-9c1c-3f1f1d2f9e4b")
"""Of the ids of labelers."""
_NUMBERED = re.compile(r"(likert|flags)[-_ ]?(\d+)")
_OWN = ("completion", "notes", "skipped")


# --- out ---


def write(labels: Labels, folder: Path) -> list[Path]:
    """Records and settings. `UserError` for a round of both texts and conversations: a field of
    Argilla is one or the other."""
    some = sheets(labels, "a field of Argilla")
    records = [_record(task, judgments) for task, judgments in some.rows]
    text = json.dumps(_settings(some), indent=1, ensure_ascii=False)
    return [write_list(folder / RECORDS, records), write_text(folder / SETTINGS, f"{text}\n")]


def _record(task: Task, judgments: Sequence[Judgment]) -> dict[str, Any]:
    responses = {f"response_{i}": t for i, t in enumerate(task.responses, 1)}
    about = about_task(task)
    if judgments:
        about["labelers"] = [judgment.labeler for judgment in judgments]
    questions: dict[str, list[dict[str, Any]]] = {}
    for judgment in judgments:
        status = "discarded" if judgment.answer.skipped else "submitted"
        for name, value in _values(judgment.answer):
            said = {"value": value, "user_id": user_id(judgment.labeler), "status": status}
            questions.setdefault(name, []).append(said)
    return {
        "id": task.id,
        "fields": {"prompt": shown_prompt(task.prompt), **responses},
        "metadata": about,
        "suggestions": {},
        "responses": questions,
        "vectors": {},
    }


def user_id(labeler: str) -> str:
    """The UUID that stands for a pseudonym: always the same."""
    return str(uuid5(_PEOPLE, labeler))


def _values(answer: Answer) -> Iterator[tuple[str, Any]]:
    """What an answer says, by question."""
    if answer.ranks:
        yield (
            "ranking",
            [
                {"rank": rank, "value": f"response_{i}"}
                for i, rank in enumerate(answer.ranks, 1)
                if rank is not None
            ],
        )
    for i, rating in enumerate(answer.likert, 1):
        if rating is not None:
            yield f"likert_{i}", rating
    for i, names in enumerate(answer.flags, 1):
        yield f"flags_{i}", list(names) or [NO_FLAG]
    for name, text in zip(_OWN, (answer.written, answer.notes, answer.skipped), strict=True):
        if text:
            yield name, text


def _settings(some: Sheets) -> dict[str, Any]:
    """Settings of a dataset as Argilla's ``Settings.to_json`` writes them."""
    responses, flags = some.most, some.flags
    kind = {"type": "chat"} if some.conversations else {"type": "text"}
    made = [_field("prompt", True, {**kind, "use_markdown": False})]
    made += [
        _field(f"response_{i}", False, {"type": "text", "use_markdown": False})
        for i in range(1, responses + 1)
    ]
    options = [{"value": f"response_{i}", "text": f"Response {i}"} for i in range(1, responses + 1)]
    questions = [_question("ranking", {"type": "ranking", "options": options})] if options else []
    rating = [{"value": i} for i in range(1, MOST_LIKERT + 1)]
    chosen = [{"value": name, "text": name} for name in [*flags, NO_FLAG]]
    for i in range(1, responses + 1):
        if some.likert:
            questions.append(_question(f"likert_{i}", {"type": "rating", "options": rating}))
        if flags:
            multiple = {"type": "multi_label_selection", "options": chosen}
            questions.append(_question(f"flags_{i}", {**multiple, "visible_options": len(chosen)}))
    text = {"type": "text", "use_markdown": False}
    questions += [_question(name, text) for name in _OWN]
    if some.reasons:
        questions[-1]["description"] = f"Why you skip it: {'; '.join(some.reasons)}"
    questions[0]["required"] = True  # Argilla wants one
    return {
        "guidelines": some.instructions or None,
        "questions": questions,
        "fields": made,
        "vectors": [],
        "metadata": [],
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }


def _field(name: str, required: bool, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "title": name, "required": required, "settings": settings}


def _question(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "description": None,
        "required": False,
        "settings": settings,
    }


# --- in ---


def read(path: Path, gathering: Gathering) -> None:
    """Records of Argilla 2 (``to_json``, flat as ``to_datasets``, or of the server) or of 1."""
    for _ in read_table(path, lambda row: _read(row, gathering)):
        pass


def _read(row: Mapping[str, Any], gathering: Gathering) -> None:
    texts, given = annotated.argilla_parts(row)
    asks = annotated.question_field(texts)
    names = annotated.answer_fields(texts, blanks=True)
    responses = tuple(fields.checked_text(text, name, blank=True) for name, text in names.items())
    inner, others = annotated.metadata(row), {**texts, **annotated.beside(row)}
    about = {"split": row.get("split"), **others, **inner}
    gathering.not_read(others, (asks, *names, *ABOUT, "id"))
    gathering.not_read(inner, ABOUT, "metadata.")
    name = fields.identifier(row, "id") or fields.identifier(row, "external_id")
    prompt = prompt_of(texts[asks], asks, name, about)
    task = gathering.task(task_of(name, prompt, responses, about))
    people: dict[str, list[Given]] = {}
    for one in given:
        people.setdefault(one.person, []).append(one)
    if given and not any(one.status for one in given):
        gathering.remark(NO_STATUS)
    group = labeler_group(about)
    ours = fields.texts(about, "labelers") if about.get("labelers") else ()
    pseudonym = {user_id(labeler): labeler for labeler in ours}
    for person, said in people.items():
        if not any(one.status == "draft" for one in said):
            answer = _answer(said, list(names), gathering)
            if answer is not None:
                labeler = gathering.person(pseudonym.get(person, person), group)
                gathering.judge(Judgment(task.id, labeler, answer), "responses")


def _answer(said: Sequence[Given], names: Sequence[str], gathering: Gathering) -> Answer | None:
    """What a person said of a record; None if it was about other things."""
    own = {one.question: one.value for one in said if one.question in _OWN[1:]}
    if any(one.status == "discarded" for one in said) or own.get("skipped"):
        return Answer(
            notes=str(own.get("notes") or ""), skipped=str(own.get("skipped") or LEFT_OUT)
        )
    orders = [(one, _order(one, names)) for one in said if one.question not in _OWN]
    orders = [(one, order) for one, order in orders if order is not None]
    if len(orders) > 1:
        both = " and ".join(sorted(one.question for one, _ in orders))
        raise BadRow("responses", f"{both} both order the answers: leave one of them out")
    for one, _ in orders:
        if isinstance(one.value, (list, tuple)) and not annotated.has_ranks(one.value):
            gathering.remark(STRICT)
    ratings: dict[int, int] = {}
    flags: dict[int, Sequence[str]] = {}
    texts: dict[str, str] = {}
    for one in (one for one in said if one.question not in own and one.value is not None):
        numbered = _NUMBERED.fullmatch(one.question)
        about_one = numbered and 1 <= int(numbered[2]) <= len(names)
        if numbered and about_one and numbered[1] == "likert":
            ratings[int(numbered[2])] = _rating(one)
        elif numbered and about_one:
            flags[int(numbered[2])] = fields.texts({one.question: one.value}, one.question)
        elif one.question in annotated.ANSWERS and isinstance(one.value, str):
            texts[one.question] = one.value
        elif not any(one is ordered for ordered, _ in orders):
            gathering.not_read({one.question: one.value}, (), "responses.")
    text = one_text(texts, "responses")
    ranks = (orders[0][1] or ()) if orders else ()
    notes = str(own.get("notes") or "")
    answer = answer_of(len(names), ranks, ratings, flags, text, notes)
    return answer if says_something(answer) else None


def _order(one: Given, names: Sequence[str]) -> Sequence[float | None] | None:
    """The ranks of the answers; None for those that a list of {rank, value} leaves out."""
    if not annotated.has_ranks(one.value):
        return annotated.argilla_order(one.value, names, one.question)
    ranks: dict[str, float] = {}
    for i, item in enumerate(one.value):
        place = f"{one.question}[{i}]"
        name = annotated.plain(str(item.get("value")) if isinstance(item, Mapping) else "")
        if name not in map(annotated.plain, names):
            raise BadRow(place, f"'{shown(name)}' is none of the answers: {', '.join(names)}")
        ranks[name] = numeric(item.get("rank"), f"{place}.rank")
    return [ranks.get(annotated.plain(name)) for name in names]


def _rating(one: Given) -> int:
    value = numeric(one.value, one.question)
    if not value.is_integer():
        raise BadRow(one.question, f"is {value:g}. Allowed: 1 to {MOST_LIKERT}")
    return int(value)
