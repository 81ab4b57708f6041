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
from preflab_builtin.files.labelers import COLUMN, labeler_group
from preflab_builtin.files.names import BEFORE
from preflab_builtin.files.transcripts import Asked
from preflab_builtin.files.values import blank, truth


def argilla(row: Columns, reading: Reading) -> Sequence[Case]:
    """A record of Argilla: of version 2 (``to_json``, or flat as in ``to_datasets``), or of version
    1. The fields hold the question and its answers, the submitted responses order them."""
    if isinstance(row.get("fields"), Mapping):
        row = {**row, "fields": reading.view(row["fields"])}
    texts, answered = annotated.argilla_parts(row)
    judged = [one for one in answered if one.submitted]
    asks = annotated.question_field(texts)
    answers = annotated.answer_fields(texts)
    others = {**texts, **annotated.beside(row)}
    asked = question(others, texts[asks], asks, reading, chat=True)
    about = _about({**others, **{k: row[k] for k in ("id", "split") if k in row}}, row, reading)
    reading.rest({k: v for k, v in others.items() if k not in answers}, (asks, *BEFORE, *about))
    if reading.settings.record_type == "prompts":
        return [Case(asked, about)]
    return list(_answered(about, asked, answers, judged, reading))


def _answered(
    about: Columns,
    asked: Asked,
    answers: Mapping[str, Any],
    judged: Sequence[Given],
    reading: Reading,
) -> Iterator[Case]:
    """The cases of what people submitted to a record of Argilla: what each wrote, or a ranking for
    each who ordered the answers."""
    if reading.settings.record_type == "demonstrations":
        found = [j for j in judged if j.question in annotated.ANSWERS and isinstance(j.value, str)]
        if not found:
            allowed = f"Name the question one of {', '.join(annotated.ANSWERS)}"
            raise BadRow("responses", f"nobody has submitted a written answer. {allowed}")
        for j in found:
            text = reply(j.value, j.question, reading)
            yield Case(asked, about, (text,), (), j.person, labeler_group(about))
    else:
        orders = _orders(answers, judged, reading)
        found = [given for given, _ in orders]
        texts = tuple(reply(text, name, reading) for name, text in answers.items())
        for j, order in orders:
            pairs = judged_pairs(order)
            yield Case(asked, about, texts, pairs, j.person, labeler_group(about))
    others = {j.question for j in judged if j.value is not None} - {j.question for j in found}
    reading.of_row.update(f"responses.{shown(name)}" for name in others)


def _orders(
    answers: Mapping[str, Any], judged: Sequence[Given], reading: Reading
) -> Sequence[tuple[Given, list[float]]]:
    """How everybody ordered the answers who did."""
    if len(answers) < 2:
        reason = f"{len(answers)} of them are answers, but a ranking needs at least 2"
        raise BadRow("fields", f"{reason}. Name them response_1, response_2, ...")
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
    return orders


def _about(row: Columns, holder: Columns, reading: Reading) -> dict[str, Any]:
    """The columns that describe the prompt and who judged it, of a row or else of the metadata of
    its holder. What the metadata say beside is counted as not read."""
    settings, inner = reading.settings, reading.view(annotated.metadata(holder))
    names = {"user", "group", "split", "tags", "notes", COLUMN}
    names.update(filter(None, (settings.user, settings.group, settings.split)))
    left = (name for name, value in inner.items() if name not in names and not blank(value))
    reading.of_row.update(f"metadata.{shown(str(name))}".rstrip(".") for name in left)
    found = {name: value for name, value in inner.items() if name in names}
    for name in ("id", *names):
        if name in row and (name not in found or not blank(row[name])):
            found[name] = row[name]
    return found


def label_studio(row: Columns, reading: Reading) -> Sequence[Case]:
    """A task of Label Studio (JSON): ``data`` holds the question and its answers, every annotation
    that was not cancelled is a person's order of them (Pairwise, Choices with the name of the
    better one, or Ranker, whose buckets are ties), or, for demonstrations, a written answer
    (TextArea)."""
    if not isinstance(row["data"], Mapping):
        raise BadRow("data", f"is {type_name(row['data'])} but must be an object")
    data = reading.view(row["data"])
    asks = annotated.question_field(data)
    asked = question(data, data[asks], f"data.{asks}", reading, chat=True)
    about = _about({"id": row.get("id"), **data}, data, reading)
    items = annotated.list_field(data)
    if items is None:
        answers = annotated.answer_fields(data)
    else:
        answers = annotated.listed_answers(data[items], f"data.{items}")
    others = {k: v for k, v in data.items() if k not in (*answers, items, asks)}
    reading.rest(others, (*BEFORE, *about, "metadata"))
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
    who = (person, labeler_group(about))
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
                    yield Case(asked, about, (reply(text, "textarea", reading),), (), *who)
        elif (ranks := _ranks(kind, value, list(answers), name)) is not None:
            unjudged = _unjudged(ranks, only_best=kind == "choices")
            pairs = judged_pairs(ranks)
            yield Case(asked, about, tuple(texts), pairs, *who, unjudged=unjudged)
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
