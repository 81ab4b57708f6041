"""What annotation tools export: Argilla and Label Studio. People name fields and questions there,
so that the names decide what is a question and what is an answer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preflab.records import preferences_from_ranks
from preflab.rows import BadRow, fields, shown, type_name
from preflab_builtin.files.asking import Case, Columns, question, reply
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.ranked import check_ranks
from preflab_builtin.files.transcripts import Asked
from preflab_builtin.files.values import blank, numeric, truth

_ASKS = ("prompt", "instruction", "question", "input", "query", "chat", "messages", "text")
_ANSWERS = ("response", "completion", "answer", "output", "generation", "reply", "summary")
_NUMBERED = re.compile(rf"({'|'.join(_ANSWERS)})s?[-_ ]?([0-9]{{1,2}}|[a-zA-Z])")
_LISTS = ("items", *(f"{name}s" for name in _ANSWERS))
_FACTS = (
    *("id", "status", "_server_id", "external_id", "metadata", "vectors", "updated_at", "split"),
    *("inserted_at", "fields", "responses", "suggestions"),
)
_SUGGESTED = re.compile(r"(\.suggestion(\.\w+)?|-suggestion(-metadata)?|\.responses\.\w+)$")


@dataclass(frozen=True)
class _Judgement:
    """What a person answered to a question of the tool."""

    person: str
    question: str
    value: Any


def argilla(row: Columns, reading: Reading) -> Sequence[Case]:
    """A record of Argilla: of version 2 (``to_json``, or flat as in ``to_datasets``), or of version
    1. The fields hold the question and its answers, the submitted responses order them."""
    texts, judged = _argilla_parts(row)
    asks = _asked(texts)
    asked = question(row, texts[asks], asks, reading, chat=True)
    answers = _numbered(texts)
    reading.rest({k: v for k, v in texts.items() if k not in answers}, (asks,))
    if reading.settings.record_type == "prompts":
        return [Case(asked, row)]
    if reading.settings.record_type == "demonstrations":
        written = [j for j in judged if j.question in _ANSWERS and isinstance(j.value, str)]
        if not written:
            allowed = f"Name the question one of {', '.join(_ANSWERS)}"
            raise BadRow("responses", f"nobody has submitted a written answer. {allowed}")
        return [
            Case(asked, row, (reply(j.value, j.question, reading),), labeler=j.person)
            for j in written
        ]
    return list(_ordered(row, asked, answers, judged, reading))


def _argilla_parts(row: Columns) -> tuple[dict[str, Any], list[_Judgement]]:
    """The fields, and the submitted responses to the questions."""
    if isinstance(row.get("fields"), Mapping):
        responses = row.get("responses")
        found = responses.items() if isinstance(responses, Mapping) else ()
        judged = [j for name, given in found for j in _given(name, given)]
        return dict(row["fields"]), judged
    texts, judged = {}, []
    for name, value in row.items():
        if name.endswith(".responses"):
            people = row.get(f"{name}.users") or ()
            states = row.get(f"{name}.status") or ()
            for i, answer in enumerate(value or ()):
                if i >= len(states) or states[i] in (None, "submitted"):
                    person = str(people[i]) if i < len(people) else ""
                    judged.append(_Judgement(person, name.removesuffix(".responses"), answer))
        elif isinstance(value, (list, tuple)) and any(_is_given(item) for item in value):
            judged += _given(name, value)
        elif name not in _FACTS and not _SUGGESTED.search(name):
            texts[name] = value
    return texts, judged


def _is_given(item: Any) -> bool:
    return (
        isinstance(item, Mapping) and "value" in item and bool({"user_id", "status"} & item.keys())
    )


def _given(name: str, answers: Any) -> Iterator[_Judgement]:
    for item in answers if isinstance(answers, (list, tuple)) else ():
        if _is_given(item) and item.get("status") in (None, "submitted"):
            person = "" if item.get("user_id") is None else str(item["user_id"])
            yield _Judgement(person, name, item["value"])


def _asked(texts: Mapping[str, Any]) -> str:
    found = next((name for name in _ASKS if not blank(texts.get(name))), None)
    if found is None:
        have = ", ".join(map(shown, texts)) or "none"
        raise BadRow("fields", f"{have}: none is a question. Allowed names: {', '.join(_ASKS)}")
    return found


def _numbered(texts: Mapping[str, Any]) -> dict[str, str]:
    """The answers by the names of their fields: response_1, answer-b, ..., or chosen, rejected."""
    names = [name for name in texts if _NUMBERED.fullmatch(name) or name in ("chosen", "rejected")]
    return {name: texts[name] for name in sorted(names) if not blank(texts[name])}


def _ordered(
    row: Columns,
    asked: Asked,
    answers: Mapping[str, Any],
    judged: Sequence[_Judgement],
    reading: Reading,
) -> Iterator[Case]:
    """A ranking for every person who ordered the answers."""
    if len(answers) < 2:
        reason = f"{len(answers)} of them are answers, but a ranking needs at least 2"
        raise BadRow("fields", f"{reason}. Name them response_1, response_2, ...")
    texts = [reply(text, name, reading) for name, text in answers.items()]
    orders = [(j, _order(j, list(answers))) for j in judged]
    orders = [(j, order) for j, order in orders if order is not None]
    names = sorted({j.question for j, _ in orders})
    if len(names) > 1:
        cure = reading.settings.option(f"ignore=[{names[1]}.responses]")
        raise BadRow("responses", f"{' and '.join(names)} both order the answers: {cure}")
    if not orders:
        raise BadRow("responses", "nobody has submitted an order of the answers")
    for judgement, order in orders:
        pairs = preferences_from_ranks(order or [])
        yield Case(asked, row, tuple(texts), pairs, labeler=judgement.person)


def _order(judgement: _Judgement, names: Sequence[str]) -> list[float] | None:
    """The rank of each answer, 1 the best; None if the question was about something else. A list is
    an order, the best first, or holds {rank, value}; a text names the best answer."""
    value, plain = judgement.value, [_plain(name) for name in names]
    if isinstance(value, str) and _plain(value) in plain:
        return [1.0 if name == _plain(value) else 2.0 for name in plain]
    if not isinstance(value, (list, tuple)) or len(value) != len(names):
        return None
    ranks: dict[str, float] = {}
    for number, item in enumerate(value, 1):
        if isinstance(item, Mapping) and {"rank", "value"} <= item.keys():
            place = f"{judgement.question}.rank"
            ranks[_plain(str(item["value"]))] = numeric(item["rank"], place)
        elif isinstance(item, str):
            ranks[_plain(item)] = float(number)
    if sorted(ranks) != sorted(plain):
        return None
    order = [ranks[name] for name in plain]
    check_ranks(order, judgement.question)
    return order


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def label_studio(row: Columns, reading: Reading) -> Sequence[Case]:
    """A task of Label Studio (JSON): ``data`` holds the question and its answers, every annotation
    that was not cancelled is a person's order of them (Pairwise, Choices with the name of the
    better one, or Ranker without buckets), or, for demonstrations, a written answer (TextArea)."""
    data = row["data"]
    if not isinstance(data, Mapping):
        raise BadRow("data", f"is {type_name(data)} but must be an object")
    asks = _asked(data)
    asked = question(data, data[asks], f"data.{asks}", reading, chat=True)
    about = {"id": data.get("id", row.get("id")), "group": data.get("group")}
    about |= {"user": data.get("user"), "split": data.get("split")}
    items = next((name for name in _LISTS if isinstance(data.get(name), (list, tuple))), None)
    answers = _numbered(data) if items is None else _items(data[items], f"data.{items}")
    others = {k: v for k, v in data.items() if k not in (*answers, items, asks)}
    reading.rest(others, ("system", "history", *about))
    if reading.settings.record_type == "prompts":
        return [Case(asked, about)]
    cases: list[Case] = []
    for i, annotation in enumerate(fields.items(row, "annotations")):
        if not isinstance(annotation, Mapping):
            raise BadRow(f"annotations[{i}]", f"is {type_name(annotation)} but must be an object")
        if not truth(annotation.get("was_cancelled") or False, "was_cancelled"):
            person = _person(annotation.get("completed_by"))
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
        if reading.settings.record_type == "demonstrations":
            written = value.get("text") if kind == "textarea" else ()
            for text in [written] if isinstance(written, str) else written or ():
                yield Case(asked, about, (reply(text, "textarea", reading),), labeler=person)
        elif kind == "pairwise" and len(texts) == 2:
            side = value.get("selected")
            if side not in ("left", "right", None):
                raise BadRow("selected", f"is '{shown(str(side))}'. Allowed: left, right")
            better = {"left": ((0, 1),), "right": ((1, 0),)}.get(str(side), ())
            yield Case(asked, about, tuple(texts), better, labeler=person)
        elif kind == "ranker":
            order = _ranker(value.get("ranker"), list(answers))
            yield Case(asked, about, tuple(texts), preferences_from_ranks(order), labeler=person)
        elif kind == "choices" and (best := _best(value.get("choices"), list(answers))):
            others = [i for i, rank in enumerate(best) if rank > 1]
            unjudged = tuple(itertools.combinations(others, 2))  # only the best one was chosen
            pairs = preferences_from_ranks(best)
            yield Case(asked, about, tuple(texts), pairs, labeler=person, unjudged=unjudged)
        else:
            reading.of_row.add(f"annotations[].{shown(str(result.get('from_name', kind)))}")


def _ranker(value: Any, names: Sequence[str]) -> list[float]:
    """The rank of each item by its id."""
    lists = list(value.values()) if isinstance(value, Mapping) else []
    if len(lists) != 1 or sorted(map(str, lists[0])) != sorted(names):
        raise BadRow("ranker", "must be one list with the id of every item, the best first")
    return [float(list(map(str, lists[0])).index(name)) for name in names]


def _best(value: Any, names: Sequence[str]) -> list[float] | None:
    """Ranks where one choice has the name of one answer; None: it was about something else."""
    chosen = [_plain(str(v)) for v in value] if isinstance(value, (list, tuple)) else []
    plain = [_plain(name) for name in names]
    if len(chosen) != 1 or chosen[0] not in plain:
        return None
    return [1.0 if name == chosen[0] else 2.0 for name in plain]


def _items(items: Sequence[Any], field: str) -> dict[str, Any]:
    """The texts of a list by their ids: texts, or objects {id, body}."""
    found: dict[str, Any] = {}
    for i, item in enumerate(items):
        if isinstance(item, Mapping):
            text = next((item[k] for k in ("body", "text", "html", "title") if item.get(k)), None)
            found[str(item.get("id", i))] = text
        else:
            found[str(i)] = item
    if len(found) != len(items):
        raise BadRow(field, "two items have the same id")
    return found


def _person(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("email") or value.get("id")
    return "" if value is None else str(value)
