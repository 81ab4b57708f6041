"""Between a task of the store and the page: outputs stand at places, in an order of their own and
equal texts once, and answers go back to the order of the pool.

What leaves here is all that a browser learns of a task: prompt, texts, how to answer. Arms,
rewards, origins, expected answers, ids of prompts and places of files stay behind.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from preflab.records import Prompt
from preflab_people.judgments import Answer, Task, TaskKind
from preflab_people.server.answers import Refused
from preflab_people.server.requests import ShownAnswer

T = TypeVar("T")
LANGUAGE = "lang:"
"""A tag such as "lang:de" says in which language a prompt is."""


def shown_task(task: Task, order: Sequence[int], sensitive: Collection[str]) -> dict[str, Any]:
    """What the browser gets of a task. sensitive: tags of prompts that are blurred until the
    person asks for them."""
    return {
        "id": task.id,
        "form": "write" if task.kind == "demonstrate" else "rank",  # a comparison looks like one
        **shown_prompt(task.prompt, sensitive),
        "outputs": [task.responses[i] for i in order],
    }


def shown_prompt(prompt: Prompt, sensitive: Collection[str]) -> dict[str, Any]:
    """What the browser gets of a prompt: turns of a conversation, or one text without a role."""
    turns = [{"role": m.role, "text": m.content} for m in prompt.messages]
    languages = [tag.removeprefix(LANGUAGE) for tag in prompt.tags if tag.startswith(LANGUAGE)]
    return {
        "turns": turns or [{"role": "", "text": prompt.text}],
        "lang": next((tag for tag in languages if re.fullmatch(r"[A-Za-z0-9-]{2,20}", tag)), ""),
        "sensitive": not set(prompt.tags).isdisjoint(sensitive),
    }


def to_pool(shown: ShownAnswer, task: Task, order: Sequence[int], rated: bool) -> Answer:
    """An answer by place as an answer by response of the pool. Equal texts, which were shown once,
    get the same values. rated: the round asks for ratings. Raises Refused if the answer has not a
    value for each place, or is not complete."""
    if shown.skipped:
        return Answer(skipped=shown.skipped, notes=shown.notes)
    check_answer(shown, task.kind, len(order), rated)
    place = {task.responses[i]: p for p, i in enumerate(order)}
    places = [place[response] for response in task.responses]
    return Answer(
        ranks=_at(shown.ranks, places),
        likert=_at(shown.likert, places),
        flags=_at(shown.flags, places),
        written=shown.written,
        notes=shown.notes,
    )


def to_places(answer: Answer, order: Sequence[int]) -> dict[str, Any]:
    """The reverse of `to_pool`, for a person who changes an answer."""
    values = asdict(answer)
    for name in ("ranks", "likert", "flags"):
        values[name] = list(_at(values[name], order))
    return values


def check_answer(shown: ShownAnswer, kind: TaskKind, count: int, rated: bool) -> None:
    """Refuse an answer that does not fit the places of the page. The store looks at the rest.
    count: places."""
    for name, values in (("ranks", shown.ranks), ("likert", shown.likert), ("flags", shown.flags)):
        if values and len(values) != count:
            raise Refused(422, "count", f"{name} must have a value for each of {count} outputs.")
    if any(rank is not None and rank > count for rank in shown.ranks):
        raise Refused(422, "rank", f"Ranks go from 1 to {count}.")
    if kind == "demonstrate":
        return
    # Who wrote a better response need not rank those that are all bad.
    if not _is_complete(shown.ranks, count) and not shown.written.strip():
        raise Refused(422, "incomplete", "Every output needs a rank.")
    if rated and not _is_complete(shown.likert, count):
        raise Refused(422, "incomplete", "Every output needs a rating.")


def _is_complete(values: Sequence[int | None], count: int) -> bool:
    return len(values) == count and None not in values


def _at(values: Sequence[T], places: Sequence[int]) -> tuple[T, ...]:
    return tuple(values[place] for place in places) if values else ()
