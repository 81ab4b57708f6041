"""What people are asked and what they answer: frozen records that the store keeps, the server
shows, and a frozen round holds. No database, no web.

Shape legend: K responses of a task, in the order of the pool. Whatever a person saw in another
order (see `shown_order`) is turned back into the order of the pool before it becomes a record.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from preflab.randomness import derive_seed
from preflab.records import Prompt, prompt_from_json, to_json

TaskKind = Literal["rank", "demonstrate", "compare"]
TASK_KINDS: tuple[TaskKind, ...] = ("rank", "demonstrate", "compare")
Origin = Literal["normal", "gold", "retest", "screening"]
ORIGINS: tuple[Origin, ...] = ("normal", "gold", "retest", "screening")
"""Only judgments of normal tasks are training data."""
FLAGS = (
    "fails_instruction",
    "inappropriate_for_customer_assistant",
    "hallucination",
    "satisfies_constraint",
    "sexual_content",
    "violent_content",
    "encourages_harm",
    "denigrates_protected_class",
    "harmful_advice",
    "expresses_opinion",
    "moral_judgment",
)
"""The binary metadata of InstructGPT's table 3, in its order; a round may ask for others."""
PersonState = Literal["screening", "active", "paused", "removed", "forgotten"]
GONE: tuple[PersonState, ...] = ("removed", "forgotten")
"""States of people whose judgments are not used any more."""


def takes_place(origin: Origin, kind: TaskKind, held_out: bool) -> bool:
    """Whether a judgment is one of those that a task wants. What held-out people say of tasks that
    train something comes on top: it trains nothing. A comparison trains nothing anyway.

    >>> takes_place("normal", "rank", True), takes_place("normal", "compare", True)
    (False, True)
    """
    return origin == "normal" and (kind == "compare" or not held_out)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says about a task, by response in the order of the pool.

    ranks: rank of each response, 1 the best, equal ranks are ties; None: this response was not
    judged. likert: 1 (worst) to 7, or None. flags: names of the flags that were set. written: a
    demonstration, or a better response where all were bad. skipped: the reason, "" for an answer.
    """

    ranks: tuple[int | None, ...] = ()
    likert: tuple[int | None, ...] = ()
    flags: tuple[tuple[str, ...], ...] = ()
    written: str = ""
    notes: str = ""
    skipped: str = ""

    def verdict(self, first: int, second: int) -> float | None:
        """1 if the first response is better, 0 if the second is, 0.5 for a tie, None for a pair
        that was not judged.

        >>> Answer(ranks=(1, 2, 2, None)).verdict(2, 1), Answer(ranks=(1, None)).verdict(0, 1)
        (0.5, None)
        """
        if not self.ranks or self.ranks[first] is None or self.ranks[second] is None:
            return None
        a, b = self.ranks[first], self.ranks[second]
        return 0.5 if a == b else float(a < b)  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to judge or to write.

    responses: K texts (none for a demonstration). arms: for a comparison the runs that gave each
    response (equal texts of several runs are one response); it never leaves the server. want:
    judgments wanted. expected: what the researcher holds right (gold and screening tasks).
    repeats: id of the task that a retest shows once more.
    """

    id: str
    kind: TaskKind
    prompt: Prompt
    responses: tuple[str, ...] = ()
    arms: tuple[tuple[str, ...], ...] = ()
    origin: Origin = "normal"
    want: int = 1
    expected: Answer | None = None
    repeats: str = ""

    @property
    def digest(self) -> str:
        """Of what is judged: the prompt as it is shown and the texts."""
        return texts_digest(self.prompt, self.responses)


@dataclass(frozen=True, slots=True)
class Judgment:
    """One person's valid answer to one task, as a frozen round holds it.

    seconds: time in which the page was in use. order: index of the response shown at each place.
    instructions: version that was shown. at: UTC, ISO 8601. event: number of the event in the
    store's history.
    """

    task: str
    labeler: str
    answer: Answer
    seconds: float = 0.0
    order: tuple[int, ...] = ()
    instructions: int = 1
    at: str = ""
    event: int = 0


@dataclass(frozen=True, slots=True)
class Person:
    """A labeler under a pseudonym ("labeler-k3f9"). held_out: their judgments are never training
    data."""

    id: str
    group: str = ""
    held_out: bool = False
    state: PersonState = "active"


def texts_digest(prompt: Prompt, responses: Sequence[str]) -> str:
    """sha256 (hex) of a prompt as people see it and of the responses in their order."""
    messages = [[message.role, message.content] for message in prompt.messages]
    return canonical_digest([prompt.id, prompt.text, messages, list(responses)])


def canonical_digest(value: Any) -> str:
    """sha256 (hex) of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf8", "surrogatepass")).hexdigest()


def task_id(
    kind: TaskKind,
    prompt: Prompt,
    responses: Sequence[str],
    origin: Origin = "normal",
    again: int = 0,
) -> str:
    """The id of a task: the same question of the same round has the same id. again: which
    repetition of a retest. It tells nobody which origin a task has."""
    return canonical_digest([kind, texts_digest(prompt, responses), origin, again])[:16]


def shown_order(
    round_name: str, task: str, labeler: str, responses: Sequence[str]
) -> tuple[int, ...]:
    """Indices of the distinct responses in the order in which a person sees them; equal texts are
    shown once, at their first index. A hash decides, so that a reload shows the same order."""
    distinct = [i for i, text in enumerate(responses) if responses.index(text) == i]
    random.Random(derive_seed(round_name, task, labeler)).shuffle(distinct)
    return tuple(distinct)


# --- as JSON ---


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """JSON values of an answer, without what is empty."""
    return {key: value for key, value in asdict(answer).items() if value}


def answer_from_json(row: Mapping[str, Any]) -> Answer:
    """The answer that `answer_to_json` wrote."""
    return Answer(
        ranks=tuple(row.get("ranks", ())),
        likert=tuple(row.get("likert", ())),
        flags=tuple(tuple(names) for names in row.get("flags", ())),
        written=row.get("written", ""),
        notes=row.get("notes", ""),
        skipped=row.get("skipped", ""),
    )


def judgment_to_json(judgment: Judgment) -> dict[str, Any]:
    """JSON values of a judgment."""
    return {**asdict(judgment), "answer": answer_to_json(judgment.answer)}


def judgment_from_json(row: Mapping[str, Any]) -> Judgment:
    """The judgment that `judgment_to_json` wrote."""
    values = {**row, "answer": answer_from_json(row["answer"]), "order": tuple(row["order"])}
    return Judgment(**values)


def task_to_json(task: Task) -> dict[str, Any]:
    """JSON values of a task."""
    expected = None if task.expected is None else answer_to_json(task.expected)
    return {**asdict(task), "prompt": to_json(task.prompt), "expected": expected}


def task_from_json(row: Mapping[str, Any]) -> Task:
    """The task that `task_to_json` wrote."""
    expected = row["expected"]
    return Task(
        id=row["id"],
        kind=row["kind"],
        prompt=prompt_from_json(row["prompt"]),
        responses=tuple(row["responses"]),
        arms=tuple(tuple(names) for names in row["arms"]),
        origin=row["origin"],
        want=row["want"],
        expected=None if expected is None else answer_from_json(expected),
        repeats=row["repeats"],
    )
