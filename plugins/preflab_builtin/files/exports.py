"""What annotation tools export: Argilla and Label Studio. What people answered there becomes
training records."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preflab.rows import BadRow, fields, shown, type_name
from preflab_builtin.files import annotated
from preflab_builtin.files.annotated import Given, judged_pairs
from preflab_builtin.files.asking import Case, Columns, question, reply
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.transcripts import Asked
from preflab_builtin.files.values import truth


def argilla(row: Columns, reading: Reading) -> Sequence[Case]:
    """A record of Argilla: of version 2 (``to_json``, or flat as in ``to_datasets``), or of version
    1. The fields hold the question and its answers, the submitted responses order them."""
    texts, answered = annotated.argilla_parts(row)
    judged = [one for one in answered if one.submitted]
    asks = annotated.question_field(texts)
    asked = question(row, texts[asks], asks, reading, chat=True)
    answers = annotated.answer_fields(texts)
    reading.rest({k: v for k, v in texts.items() if k not in answers}, (asks,))
    if reading.settings.record_type == "prompts":
        return [Case(asked, row)]
    if reading.settings.record_type == "demonstrations":
        written = [
            j for j in judged if j.question in annotated.ANSWERS and isinstance(j.value, str)
        ]
        if not written:
            allowed = f"Name the question one of {', '.join(annotated.ANSWERS)}"
            raise BadRow("responses", f"nobody has submitted a written answer. {allowed}")
        return [
            Case(asked, row, (reply(j.value, j.question, reading),), labeler=j.person)
            for j in written
        ]
    return list(_ordered(row, asked, answers, judged, reading))


def _ordered(
    row: Columns,
    asked: Asked,
    answers: Mapping[str, Any],
    judged: Sequence[Given],
    reading: Reading,
) -> Iterator[Case]:
    """A ranking for every person who ordered the answers."""
    if len(answers) < 2:
        reason = f"{len(answers)} of them are answers, but a ranking needs at least 2"
        raise BadRow("fields", f"{reason}. Name them response_1, response_2, ...")
    texts = [reply(text, name, reading) for name, text in answers.items()]
    orders = [
        (given, order)
        for given in judged
        if (order := annotated.argilla_order(given.value, list(answers), given.question))
    ]
    names = sorted({given.question for given, _ in orders})
    if len(names) > 1:
        cure = reading.settings.option(f"ignore=[{names[1]}.responses]")
        raise BadRow("responses", f"{' and '.join(names)} both order the answers: {cure}")
    if not orders:
        raise BadRow("responses", "nobody has submitted an order of the answers")
    for given, order in orders:
        yield Case(asked, row, tuple(texts), judged_pairs(order), labeler=given.person)


def label_studio(row: Columns, reading: Reading) -> Sequence[Case]:
    """A task of Label Studio (JSON): ``data`` holds the question and its answers, every annotation
    that was not cancelled is a person's order of them (Pairwise, Choices with the name of the
    better one, or Ranker, whose buckets are ties), or, for demonstrations, a written answer
    (TextArea)."""
    data = row["data"]
    if not isinstance(data, Mapping):
        raise BadRow("data", f"is {type_name(data)} but must be an object")
    asks = annotated.question_field(data)
    asked = question(data, data[asks], f"data.{asks}", reading, chat=True)
    about = {"id": data.get("id", row.get("id")), "group": data.get("group")}
    about |= {"user": data.get("user"), "split": data.get("split")}
    items = annotated.list_field(data)
    if items is None:
        answers = annotated.answer_fields(data)
    else:
        answers = annotated.listed_answers(data[items], f"data.{items}")
    others = {k: v for k, v in data.items() if k not in (*answers, items, asks)}
    reading.rest(others, ("system", "history", *about))
    if reading.settings.record_type == "prompts":
        return [Case(asked, about)]
    cases: list[Case] = []
    for i, annotation in enumerate(fields.items(row, "annotations")):
        if not isinstance(annotation, Mapping):
            raise BadRow(f"annotations[{i}]", f"is {type_name(annotation)} but must be an object")
        if not truth(annotation.get("was_cancelled") or False, "was_cancelled"):
            person = annotated.person_of(annotation.get("completed_by"))
            cases += _annotated(annotation, about, asked, answers, person, reading)
    if not cases:
        wanted = "written answer" if reading.settings.record_type != "rankings" else "comparison"
        raise BadRow("annotations", f"none of them holds a {wanted}")
    return cases


def _annotated(
    annotation: Mapping[str, Any],
    about: Columns,
    asked: Asked,
    answers: Mapping[str, Any],
    person: str,
    reading: Reading,
) -> Iterator[Case]:
    """The cases of one person's annotation."""
    texts = [reply(text, name, reading) for name, text in answers.items()]
    for result in fields.items(annotation, "result"):
        kind = result.get("type") if isinstance(result, Mapping) else None
        value = result.get("value") if isinstance(result, Mapping) else None
        if not isinstance(value, Mapping):
            continue
        name = shown(str(result.get("from_name", kind)))
        if reading.settings.record_type == "demonstrations":
            written = value.get("text") if kind == "textarea" else ()
            for text in [written] if isinstance(written, str) else written or ():
                if not annotated.is_note(name):
                    yield Case(asked, about, (reply(text, "textarea", reading),), labeler=person)
        elif (ranks := _ranks(kind, value, list(answers), name)) is not None:
            unjudged = _unjudged(ranks, only_best=kind == "choices")
            pairs = judged_pairs(ranks)
            yield Case(asked, about, tuple(texts), pairs, labeler=person, unjudged=unjudged)
        else:
            reading.of_row.add(f"annotations[].{name}")


def _ranks(
    kind: Any, value: Mapping[str, Any], names: Sequence[str], control: str
) -> Sequence[float | None] | None:
    """How a result orders the answers; None if it is about something else."""
    if kind == "pairwise" and len(names) == 2:
        return annotated.side(value.get("selected"))
    if kind == "ranker":
        return annotated.ranker_order(value.get("ranker"), names, control)
    return annotated.named_best(value.get("choices"), names) if kind == "choices" else None


def _unjudged(ranks: Sequence[float | None], only_best: bool) -> tuple[tuple[int, int], ...]:
    """Pairs that nobody compared: those of an answer without a rank and, where only the best was
    chosen, those of two others."""
    return tuple(
        (i, j)
        for i, j in itertools.combinations(range(len(ranks)), 2)
        if ranks[i] is None or ranks[j] is None or (only_best and 1.0 not in (ranks[i], ranks[j]))
    )
