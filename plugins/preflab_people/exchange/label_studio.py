"""Tasks of Label Studio with annotations, and the layout of their page (label_studio.xml: paste it
into the project's settings, then import label_studio_tasks.json).

``data`` holds prompt and items [{id, title, body}]. An annotation is one person's: a Ranker whose
buckets rank_1, rank_2, ... are ties, ratings likert_1, ... from 1 to 7, choices flags_1, ..., texts
completion and notes. The tool knows its own users only, so that the pseudonym is the choice
``labeler``; a skip is a cancelled annotation with the choice ``skipped``. Runs and gold are not in
it, so that whoever labels there is blind; tasks keep their ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from preflab.rows import BadRow, fields, read_table, type_name
from preflab_builtin.files import annotated
from preflab_builtin.files.labelers import labeler_group
from preflab_builtin.files.values import numeric, truth
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

TASKS, LAYOUT = "label_studio_tasks.json", "label_studio.xml"
BUCKETS = (
    "{n} rankings have buckets without numbers: the order of the buckets in the file is taken for "
    "their order, the best first."
)


# --- out ---


def write(labels: Labels, folder: Path) -> list[Path]:
    """Tasks and layout. `UserError` for a round of both texts and conversations: the layout shows
    one or the other."""
    some = sheets(labels, "what a page of Label Studio shows")
    rows = [_row(task, judgments) for task, judgments in some.rows]
    return [write_list(folder / TASKS, rows), write_text(folder / LAYOUT, _layout(some))]


def _row(task: Task, judgments: Sequence[Judgment]) -> dict[str, Any]:
    about = about_task(task)
    data: dict[str, Any] = {"id": task.id, "prompt": shown_prompt(task.prompt)}
    data |= {name: about.pop(name) for name in ("group", "split") if name in about}
    data["items"] = [  # also where there are none: the layout asks for them
        {"id": f"response_{i}", "title": f"Response {i}", "body": text}
        for i, text in enumerate(task.responses, 1)
    ]
    data["metadata"] = about
    return {"data": data, "annotations": [_annotation(one) for one in judgments]}


def _annotation(judgment: Judgment) -> dict[str, Any]:
    """One person's annotation. ``completed_by`` is left out: Label Studio refuses people whom it
    does not know."""
    made: dict[str, Any] = {
        "result": [
            {"from_name": name, "to_name": to, "type": kind, "value": value}
            for name, to, kind, value in _results(judgment)
        ],
        "was_cancelled": bool(judgment.answer.skipped),
        "ground_truth": False,
    }
    if judgment.seconds:
        made["lead_time"] = judgment.seconds
    if judgment.at:
        made["created_at"] = judgment.at
    return made


def _results(judgment: Judgment) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(control, object, type, value) of all that a person said."""
    answer = judgment.answer
    yield "labeler", "prompt", "choices", {"choices": [judgment.labeler]}
    if answer.ranks:
        buckets: dict[str, list[str]] = {}
        for i, rank in sorted(enumerate(answer.ranks, 1), key=lambda pair: (pair[1] or 0, pair[0])):
            name = annotated.UNRANKED if rank is None else f"rank_{rank}"
            buckets.setdefault(name, []).append(f"response_{i}")
        yield "rank", "items", "ranker", {"ranker": buckets}
    for i, rating in enumerate(answer.likert, 1):
        if rating is not None:
            yield f"likert_{i}", "prompt", "rating", {"rating": rating}
    for i, names in enumerate(answer.flags, 1):
        yield f"flags_{i}", "prompt", "choices", {"choices": list(names) or [NO_FLAG]}
    for name, text in (("completion", answer.written), ("notes", answer.notes)):
        if text:
            yield name, "prompt", "textarea", {"text": [text]}
    if answer.skipped:
        yield "skipped", "prompt", "choices", {"choices": [answer.skipped]}


def _layout(some: Sheets) -> str:
    """The page of the tasks, with every choice that their annotations make."""
    flags, most = some.flags, some.most
    reasons = list(dict.fromkeys([*some.reasons, LEFT_OUT]))
    lines = ["<View>"]
    if some.instructions:
        lines.append(f'  <Header name="instructions" value={quoteattr(some.instructions)}/>')
    if some.conversations:
        shows = 'value="$prompt" nameKey="role" textKey="content" layout="dialogue"'
        lines.append(f'  <Paragraphs name="prompt" {shows}/>')
    else:
        lines.append('  <Text name="prompt" value="$prompt"/>')
    if most:
        lines += ['  <List name="items" value="$items" title="Responses"/>']
        lines += ['  <Ranker name="rank" toName="items">']
        lines += [f'    <Bucket name="rank_{i}" title="Rank {i}"/>' for i in range(1, most + 1)]
        lines += ["  </Ranker>"]
    for i in range(1, most + 1):
        if some.likert:
            rating = f'toName="prompt" maxRating="{MOST_LIKERT}"'
            lines.append(f'  <Rating name="likert_{i}" {rating}/>')
        if flags:
            lines += _choices(f"flags_{i}", [*flags, NO_FLAG], "multiple")
    lines += ['  <TextArea name="completion" toName="prompt" rows="6"/>']
    lines += ['  <TextArea name="notes" toName="prompt"/>']
    lines += _choices("labeler", [person.id for person in some.people] or ["nobody"], "single")
    return "\n".join([*lines, *_choices("skipped", reasons, "single"), "</View>", ""])


def _choices(name: str, values: Sequence[str], choice: str) -> list[str]:
    made = [f'  <Choices name="{name}" toName="prompt" choice="{choice}">']
    return [*made, *(f"    <Choice value={quoteattr(v)}/>" for v in values), "  </Choices>"]


# --- in ---


def read(path: Path, gathering: Gathering) -> None:
    """Tasks of Label Studio (JSON), with their annotations."""
    for _ in read_table(path, lambda row: _read(row, gathering)):
        pass


def _read(row: Mapping[str, Any], gathering: Gathering) -> None:
    data = row.get("data")
    if not isinstance(data, Mapping):
        raise BadRow("data", f"is {type_name(data)} but must be an object: export tasks as JSON")
    asks, items = annotated.question_field(data), annotated.list_field(data)
    found = (
        annotated.answer_fields(data, blanks=True)
        if items is None
        else annotated.listed_answers(data[items], f"data.{items}")
    )
    responses = tuple(
        fields.checked_text(text, f"data.{name}", blank=True) for name, text in found.items()
    )
    name = fields.identifier(data, "id") or fields.identifier(row, "id")
    inner = annotated.metadata(data)
    about = {**data, **inner}
    gathering.not_read(data, (asks, items or "", *found, *ABOUT, "id", "metadata"))
    gathering.not_read(inner, ABOUT, "metadata.")
    gathering.not_read({"meta": row.get("meta")}, ())
    prompt = prompt_of(data[asks], f"data.{asks}", name, about)
    expected = _expected(row, list(found), gathering)
    task = gathering.task(task_of(name, prompt, responses, about, expected))
    for i, annotation in enumerate(_annotations(row)):
        if not annotation.get("ground_truth"):
            who = annotated.person_of(annotation.get("completed_by")), labeler_group(about)
            _judge(task, annotation, list(found), who, f"annotations[{i}]", gathering)


def _annotations(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = fields.items(row, "annotations") if row.get("annotations") is not None else ()
    for i, annotation in enumerate(found):
        if not isinstance(annotation, Mapping):
            raise BadRow(f"annotations[{i}]", f"is {type_name(annotation)} but must be an object")
    return list(found)


def _expected(row: Mapping[str, Any], names: Sequence[str], gathering: Gathering) -> Answer | None:
    """What the annotation that is the ground truth says: the task is gold."""
    truths = [one for one in _annotations(row) if one.get("ground_truth")]
    if len(truths) > 1:
        raise BadRow("annotations", "several are the ground truth: which one counts?")
    if not truths or truth(truths[0].get("was_cancelled") or False, "was_cancelled"):
        return None
    answer = _answer(truths[0], names, "annotations", gathering)
    return None if answer == Answer() else answer


def _judge(
    task: Task,
    annotation: Mapping[str, Any],
    names: Sequence[str],
    who: tuple[str, str],
    field: str,
    gathering: Gathering,
) -> None:
    """Add what a person said. who: what the tool calls the person, and the group."""
    chosen = {name: value for name, kind, value in _parts(annotation, field) if kind == "choices"}
    answer = _answer(annotation, names, field, gathering)
    if truth(annotation.get("was_cancelled") or False, f"{field}.was_cancelled"):
        reason = _first(chosen.get("skipped", {}).get("choices")) or LEFT_OUT
        answer = Answer(notes=answer.notes, skipped=reason)
    if not says_something(answer):
        return
    person = _first(chosen.get("labeler", {}).get("choices"))
    labeler = gathering.person(person or who[0], who[1])
    at, lead = annotation.get("created_at"), annotation.get("lead_time")
    seconds = 0.0 if lead is None else numeric(lead, f"{field}.lead_time")
    said = Judgment(task.id, labeler, answer, seconds, at=at if isinstance(at, str) else "")
    gathering.judge(said, field)


def _parts(
    annotation: Mapping[str, Any], field: str
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(control, type, value) of each result."""
    for i, result in enumerate(fields.items(annotation, "result")):
        if not isinstance(result, Mapping):
            raise BadRow(f"{field}.result[{i}]", f"is {type_name(result)} but must be an object")
        value = result.get("value")
        if isinstance(value, Mapping):
            yield str(result.get("from_name", "")), str(result.get("type", "")), value


def _answer(
    annotation: Mapping[str, Any], names: Sequence[str], field: str, gathering: Gathering
) -> Answer:
    ranks: Sequence[float | None] = ()
    ratings: dict[int, int] = {}
    flags: dict[int, Sequence[str]] = {}
    texts: dict[str, str] = {}
    numbers = [str(i) for i in range(1, len(names) + 1)]
    for control, kind, value in _parts(annotation, field):
        stem, _, number = control.rpartition("_")
        if (order := _order(control, kind, value, names, gathering)) is not None:
            if ranks:
                raise BadRow(field, "orders the answers twice: leave one of the orders out")
            ranks = order
        elif kind == "rating" and stem == "likert" and number in numbers:
            ratings[int(number)] = int(numeric(value.get("rating"), f"{field}.{control}"))
        elif kind == "choices" and stem == "flags" and number in numbers:
            flags[int(number)] = fields.texts(value, "choices")
        elif kind == "textarea":
            given = value.get("text")
            text = given if isinstance(given, str) else "\n".join(fields.texts(value, "text"))
            name = f"{field}.{control}"
            texts[control] = fields.checked_text(text, name, blank=True)
        elif control not in ("labeler", "skipped"):
            gathering.not_read({control: value}, (), "annotations[].")
    notes = "\n".join(text for name, text in texts.items() if annotated.is_note(name) and text)
    written = one_text({k: v for k, v in texts.items() if not annotated.is_note(k)}, field)
    return answer_of(len(names), ranks, ratings, flags, written, notes)


def _order(
    control: str,
    kind: str,
    value: Mapping[str, Any],
    names: Sequence[str],
    gathering: Gathering,
) -> Sequence[float | None] | None:
    """How a result orders the answers; None if it is about something else."""
    if kind == "pairwise" and len(names) == 2:
        return annotated.side(value.get("selected"))
    if kind == "ranker":
        ranker = value.get("ranker")
        ranks = annotated.ranker_order(ranker, names, control)
        named = [name for name in ranker or {} if name != annotated.UNRANKED]
        if len(named) > 1 and not all(name[-1:].isdigit() for name in named):
            gathering.remark(BUCKETS)
        return ranks
    return annotated.named_best(value.get("choices"), names) if kind == "choices" else None


def _first(value: Any) -> str:
    return str(value[0]) if isinstance(value, (list, tuple)) and value else ""
