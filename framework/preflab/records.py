"""What flows between stages: frozen records of text, and the token batch that everything scores.

Shape legend, used everywhere: B batch, K ranked answers, Q prompt tokens, R response tokens, T =
Q + R, V vocabulary, D model width. Prompts are left-padded, responses right-padded; lengths and
``terminated`` are stored, never inferred from pad tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from operator import attrgetter
from typing import Any, Literal, TypeVar

from preflab.prompts import Message as Message
from preflab.prompts import Prompt as Prompt
from preflab.prompts import Tokenizer as Tokenizer
from preflab.rollout import Rollout as Rollout

RecordType = Literal["prompts", "demonstrations", "rankings", "documents"]
Split = Literal["train", "validation", "test"]
RECORD_TYPES: tuple[RecordType, ...] = ("prompts", "demonstrations", "rankings", "documents")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
RANKINGS_FILE = "rankings.jsonl"
"""In the artifact of the comparisons stage: a ranking per line, as `to_json` writes it."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt and the response that a person wrote for it (the end token is added by the
    tokenizer). The response to a conversation is the content of the assistant's message. labeler,
    group: who wrote it, under a pseudonym, "" if that is not known."""

    prompt: Prompt
    response: str
    labeler: str = ""
    group: str = ""

    @property
    def split(self) -> str:
        return self.prompt.split


@dataclass(frozen=True, slots=True)
class Ranking:
    """K responses to one prompt and the preferences among them, one batch element of the reward
    model.

    ``preferences`` holds (better, worse) index pairs; a ranking of K without ties has K(K-1)/2,
    tied answers have none, and a pair that several labelers judged is in it once per vote.
    ``unjudged`` holds the pairs (i, j), i < j, that nobody compared, or whose judgement is not
    known; any other pair without a preference was called a tie. ``ratings`` holds a number for each
    response, higher for a better one, on the scale of whoever gave them; empty where nobody did.
    """

    prompt: Prompt
    responses: tuple[str, ...]
    preferences: tuple[tuple[int, int], ...]
    labeler: str = ""
    group: str = ""
    unjudged: tuple[tuple[int, int], ...] = ()
    ratings: tuple[float, ...] = ()

    @property
    def split(self) -> str:
        return self.prompt.split

    @property
    def ties(self) -> tuple[tuple[int, int], ...]:
        """Pairs (i, j), i < j, that were compared and of which neither was better."""
        other = {*self.unjudged, *self.preferences, *((j, i) for i, j in self.preferences)}
        return tuple(pair for pair in pairs(len(self.responses)) if pair not in other)


@dataclass(frozen=True, slots=True)
class Document:
    """A piece of pretraining text. With ``answer_start`` (a character index) the text after it is
    what a greedy continuation of the text before it must equal: an accuracy probe of its
    ``family``."""

    id: str
    text: str
    family: str = ""
    split: str = ""
    answer_start: int | None = None
    place: str = field(default="", compare=False)


Record = Prompt | Demonstration | Ranking | Document
_R = TypeVar("_R", bound=Record)


def preferences_from_ranks(ranks: Sequence[float]) -> tuple[tuple[int, int], ...]:
    """(better, worse) pairs of a ranking, rank 1 best; equal ranks are ties and give no pair.

    >>> preferences_from_ranks([1, 2, 2])
    ((0, 1), (0, 2))
    """
    return tuple((i, j) for i, a in enumerate(ranks) for j, b in enumerate(ranks) if a < b)


def pairs(k: int) -> tuple[tuple[int, int], ...]:
    """All pairs (i, j), i < j, of K answers.

    >>> pairs(3)
    ((0, 1), (0, 2), (1, 2))
    """
    return tuple(itertools.combinations(range(k), 2))


def with_split(record: Record, split: str) -> Record:
    """The same record, assigned to a split."""
    if isinstance(record, (Prompt, Document)):
        return _changed(record, "split", split)
    return _changed(record, "prompt", _changed(record.prompt, "split", split))


def _changed(record: _R, field: str, value: Any) -> _R:
    """What `dataclasses.replace` gives, in half of the time: a million records are assigned."""
    kind: object = type(record)  # hashable, which mypy does not see of a class
    at, read = _fields(kind, field)
    values = list(read(record))
    values[at] = value
    return type(record)(*values)


@cache
def _fields(kind: type[Any], field: str) -> tuple[int, Callable[[Any], tuple[Any, ...]]]:
    """Where a field is among those of a class, and what reads all of them."""
    names = [own.name for own in fields(kind)]
    return names.index(field), attrgetter(*names)


def to_json(record: Record) -> dict[str, Any]:
    """A record as JSON-ready values, without the place that it was read from, and without what came
    to records later where it is empty: a record that has none of it looks as it always did."""
    values = asdict(record)
    later = {Demonstration: ("labeler", "group"), Ranking: ("unjudged", "ratings")}
    for optional in later.get(type(record), ()):
        if not values[optional]:
            del values[optional]
    prompt = values.get("prompt", values)
    prompt.pop("place")
    for optional in ("messages", "rendered"):
        if not prompt.get(optional):
            prompt.pop(optional, None)
    return values


def prompt_from_json(row: Mapping[str, Any]) -> Prompt:
    """The prompt that `to_json` wrote."""
    messages = tuple(Message(**message) for message in row.get("messages", ()))
    return Prompt(**{**row, "tags": tuple(row["tags"]), "messages": messages})


def demonstration_from_json(row: Mapping[str, Any]) -> Demonstration:
    """The demonstration that `to_json` wrote."""
    who = (row.get("labeler", ""), row.get("group", ""))
    return Demonstration(prompt_from_json(row["prompt"]), row["response"], *who)


def ranking_from_json(row: Mapping[str, Any]) -> Ranking:
    """The ranking that `to_json` wrote."""
    preferences, unjudged = (
        tuple((int(i), int(j)) for i, j in row.get(name, ()))
        for name in ("preferences", "unjudged")
    )
    who = (row["labeler"], row["group"])
    prompt = prompt_from_json(row["prompt"])
    ratings = tuple(map(float, row.get("ratings", ())))
    return Ranking(prompt, tuple(row["responses"]), preferences, *who, unjudged, ratings)
