"""What Argilla and Label Studio write, as plain values: which field is the question, which are its
answers, what each person answered, and how they ordered the answers. People name fields and
questions there, so that the names decide.

``data=files`` makes training records of it (`exports`), `preflab_people.exchange` judgments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preflab.records import preferences_from_ranks
from preflab.rows import BadRow, fields, shown
from preflab_builtin.files.names import ASKS
from preflab_builtin.files.ranked import check_ranks
from preflab_builtin.files.values import blank, numeric

ANSWERS = ("response", "completion", "answer", "output", "generation", "reply", "summary")
"""Names of answers, and of questions that ask for a written one."""
_NUMBERED = re.compile(rf"({'|'.join(ANSWERS)})s?[-_ ]?([0-9]{{1,2}}|[a-zA-Z])")
_LISTS = ("items", *(f"{name}s" for name in ANSWERS))
_NOTES = ("note", "notes", "comment", "comments", "reason")
_FACTS = (
    *("id", "status", "_server_id", "external_id", "metadata", "vectors", "updated_at", "split"),
    *("inserted_at", "fields", "responses", "suggestions"),
)
_SUGGESTED = re.compile(r"(\.suggestion(\.\w+)?|-suggestion(-metadata)?|\.responses\.\w+)$")
_BUCKET = re.compile(r".*?(\d+)")
UNRANKED = "_"
"""The bucket of Label Studio in which items lie before somebody moves them."""


@dataclass(frozen=True)
class Given:
    """What a person answered to a question. status: submitted, draft or discarded; "" where the
    tool does not say, as Argilla's ``to_json``."""

    person: str
    question: str
    value: Any
    status: str = ""

    @property
    def submitted(self) -> bool:
        """Whether the person handed it in, as far as the file says."""
        return self.status in ("", "submitted")


# --- fields ---


def question_field(texts: Mapping[str, Any]) -> str:
    """The name of the field that holds the question."""
    found = next((name for name in ASKS if not blank(texts.get(name))), None)
    if found is None:
        have = ", ".join(map(shown, texts)) or "none"
        raise BadRow("fields", f"{have}: none is a question. Allowed names: {', '.join(ASKS)}")
    return found


def answer_fields(texts: Mapping[str, Any], blanks: bool = False) -> dict[str, Any]:
    """The answers by the names of their fields: response_1, answer-b, ..., or chosen, rejected.
    blanks: empty texts are answers too, as models give them."""
    names = [name for name in texts if _NUMBERED.fullmatch(name) or name in ("chosen", "rejected")]
    kept = (n for n in names if not blank(texts[n]) or (blanks and isinstance(texts[n], str)))
    return {name: texts[name] for name in sorted(kept, key=_place)}


def _place(name: str) -> tuple[str, int, str]:
    """Sorts response_2 before response_10."""
    number = re.search(r"\d+$", name)
    return name[: number.start()] if number else name, int(number[0]) if number else 0, name


def list_field(data: Mapping[str, Any]) -> str | None:
    """The name of the field of Label Studio that holds the answers as a list."""
    return next((name for name in _LISTS if isinstance(data.get(name), (list, tuple))), None)


def listed_answers(items: Sequence[Any], field: str) -> dict[str, Any]:
    """The texts of a list by their ids: texts, or objects {id, body}."""
    found: dict[str, Any] = {}
    for i, item in enumerate(items):
        if isinstance(item, Mapping):
            named = (item[k] for k in ("body", "text", "html", "title") if item.get(k) is not None)
            found[str(item.get("id", i))] = next(named, None)
        else:
            found[str(i)] = item
    if len(found) != len(items):
        raise BadRow(field, "two items have the same id")
    return found


def is_note(name: Any) -> bool:
    """Whether a text field of Label Studio asks for a remark, not for an answer."""
    return str(name).lower() in _NOTES


def plain(name: str) -> str:
    """A name as it is compared: Response-1 is response_1.

    >>> plain("Response-1")
    'response1'
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


# --- what people answered ---


def argilla_parts(row: Mapping[str, Any]) -> tuple[dict[str, Any], list[Given]]:
    """The fields of a record of Argilla, nested, flat or of version 1, and what people answered,
    drafts too."""
    if isinstance(row.get("fields"), Mapping):
        responses = row.get("responses")
        found = responses.items() if isinstance(responses, Mapping) else ()
        return dict(row["fields"]), [one for name, given in found for one in _given(name, given)]
    texts: dict[str, Any] = {}
    answered: list[Given] = []
    for name, value in row.items():
        if name.endswith(".responses"):
            people = row.get(f"{name}.users") or ()
            states = row.get(f"{name}.status") or ()
            for i, answer in enumerate(value or ()):
                person = str(people[i]) if i < len(people) else ""
                state = str(states[i] or "") if i < len(states) else ""
                answered.append(Given(person, name.removesuffix(".responses"), answer, state))
        elif isinstance(value, (list, tuple)) and any(_is_given(item) for item in value):
            answered += _given(name, value)
        elif name not in _FACTS and not _SUGGESTED.search(name):
            texts[name] = value
    return texts, answered


def beside(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a nested record of Argilla has beside its fields and the facts of the tool; of a flat
    one that is among the fields (`argilla_parts`)."""
    nested = isinstance(row.get("fields"), Mapping)
    return {k: v for k, v in row.items() if k not in _FACTS} if nested else {}


def metadata(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata of a record or of a task's data, which Argilla 1 writes as a text. What is no
    object is its only value, under no name."""
    value = row.get("metadata")
    if isinstance(value, str):
        value = fields.written(value, "metadata") or value
    return value if isinstance(value, Mapping) else {} if blank(value) else {"": value}


def _is_given(item: Any) -> bool:
    return (
        isinstance(item, Mapping) and "value" in item and bool({"user_id", "status"} & item.keys())
    )


def _given(name: str, answers: Any) -> Iterator[Given]:
    for item in answers if isinstance(answers, (list, tuple)) else ():
        if _is_given(item):
            person = "" if item.get("user_id") is None else str(item["user_id"])
            yield Given(person, name, item["value"], str(item.get("status") or ""))


def person_of(value: Any) -> str:
    """Who annotated, in Label Studio: an id, or an object with an address."""
    if isinstance(value, Mapping):
        value = value.get("email") or value.get("id")
    return "" if value is None else str(value)


# --- orders ---


def has_ranks(value: Any) -> bool:
    """Whether a ranking of Argilla says ranks. Its SDK leaves them out, and with them ties."""
    return isinstance(value, (list, tuple)) and any(
        isinstance(item, Mapping) and item.get("rank") is not None for item in value
    )


def argilla_order(value: Any, names: Sequence[str], field: str) -> list[float] | None:
    """The rank of each answer, 1 the best; None if the value is about something else. A list is an
    order, the best first, or holds {rank, value}; a text names the best answer."""
    names = [plain(name) for name in names]
    if isinstance(value, str) and plain(value) in names:
        return [1.0 if name == plain(value) else 2.0 for name in names]
    if not isinstance(value, (list, tuple)) or len(value) != len(names):
        return None
    ranks: dict[str, float] = {}
    for number, item in enumerate(value, 1):
        if isinstance(item, Mapping) and {"rank", "value"} <= item.keys():
            ranks[plain(str(item["value"]))] = numeric(item["rank"], f"{field}.rank")
        elif isinstance(item, str):
            ranks[plain(item)] = float(number)
    if sorted(ranks) != sorted(names):
        return None
    order = [ranks[name] for name in names]
    check_ranks(tuple(order), field)
    return order


def ranker_order(value: Any, names: Sequence[str], control: str) -> list[float | None]:
    """The rank of each item by its id; None for items that were not ranked.

    One list is an order, the best first. Buckets are ties: several lists, or one whose name ends
    with a number and is not that of the control. They are in the order of such numbers, else in
    the order of the file, the best first."""
    lists = value if isinstance(value, Mapping) else {}
    if not all(isinstance(some, (list, tuple)) for some in lists.values()):
        lists = {}
    left = [str(item) for item in lists.get(UNRANKED, ())]
    buckets = {str(name): list(map(str, some)) for name, some in lists.items() if name != UNRANKED}
    placed = [item for some in buckets.values() for item in some]
    if not placed or sorted(placed + left) != sorted(names):
        ids = ", ".join(map(shown, names))
        raise BadRow("ranker", f"must be lists with the id of every item once: {ids}")
    numbers = {name: _BUCKET.fullmatch(name) for name in buckets}
    (first, *others) = buckets
    if not others and (first == control or not numbers[first]):
        return [float(placed.index(name) + 1) if name in placed else None for name in names]
    ordered = list(buckets)
    if all(numbers.values()):
        ordered.sort(key=lambda name: int(name[numbers[name].start(1) :]))  # type: ignore[union-attr]
    filled = [buckets[name] for name in ordered if buckets[name]]
    ranks = {item: float(rank) for rank, some in enumerate(filled, 1) for item in some}
    return [ranks.get(name) for name in names]


def named_best(value: Any, names: Sequence[str]) -> list[float] | None:
    """Ranks where one choice has the name of one answer; None: it was about something else."""
    chosen = [plain(str(v)) for v in value] if isinstance(value, (list, tuple)) else []
    compared = [plain(name) for name in names]
    if len(chosen) != 1 or chosen[0] not in compared:
        return None
    return [1.0 if name == chosen[0] else 2.0 for name in compared]


def side(value: Any) -> list[float]:
    """Ranks of a pair by its ``selected`` side; null is a tie."""
    if value not in ("left", "right", None):
        raise BadRow("selected", f"is '{shown(str(value))}'. Allowed: left, right")
    return {"left": [1.0, 2.0], "right": [2.0, 1.0]}.get(str(value), [1.0, 1.0])


def judged_pairs(ranks: Sequence[float | None]) -> tuple[tuple[int, int], ...]:
    """(better, worse) pairs of ranks, of which None is in no pair.

    >>> judged_pairs([2.0, None, 1.0])
    ((2, 0),)
    """
    judged = [i for i, rank in enumerate(ranks) if rank is not None]
    pairs = preferences_from_ranks([rank for rank in ranks if rank is not None])
    return tuple((judged[i], judged[j]) for i, j in pairs)
