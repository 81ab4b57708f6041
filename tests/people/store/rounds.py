"""Small rounds for the tests of the store, on both databases."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from preflab.records import Prompt
from preflab_people.judgments import Answer, Origin, Task
from preflab_people.store import Receipt, RoundSettings, Store

LEASE = 1800.0
_numbers = itertools.count()


def tasks(
    single: int = 0, double: int = 0, origin: Origin = "normal", prefix: str = "t"
) -> list[Task]:
    """Tasks of three responses each; the first ones want two judgments."""
    return [
        Task(
            id=f"{prefix}{n}",
            kind="rank",
            prompt=Prompt(f"{prefix}{n}", f"Prompt {n} of {prefix}."),
            responses=("first", "second", "third"),
            origin=origin,
            want=2 if n < double else 1,
            expected=None if origin == "normal" else Answer((1, 2, 3)),
        )
        for n in range(single + double)
    ]


def settings(**changes: Any) -> RoundSettings:
    """Those of a round in which all tasks are normal ones."""
    values = {"name": "spring", "kind": "rank", "gold_share": 0.0, "retest_share": 0.0}
    return RoundSettings(**{**values, "flags": ("rude", "untrue"), **changes})


def a_round(
    place: Path | str, content: Sequence[Task], people: int = 0, **changes: Any
) -> tuple[Store, list[str]]:
    """A store at time 0 and some people in it."""
    store = Store.create(place, settings(**changes), content, now=0.0)
    return store, [store.invite(now=0.0).labeler for _ in range(people)]


def new_key() -> str:
    """A key that no submission had, of forked processes neither."""
    return f"key-{os.getpid()}-{next(_numbers)}"


def answer(
    store: Store, labeler: str, task: str, now: float, said: Answer | None = None
) -> Receipt:
    """Submit an answer, by default first before second before third."""
    said = said or Answer((1, 2, 3))
    return store.submit(labeler, task, said, new_key(), 5.0, (0, 1, 2), now=now)


def work(store: Store, people: Iterable[str], start: float = 1.0, rounds: int = 10**9) -> float:
    """Let people do task after task, in turn, until there is nothing left; the time after it."""
    now, working = start, list(people)
    for _ in range(rounds):
        if not working:
            break
        for labeler in list(working):
            now += 1.0
            given = store.next_task(labeler, now)
            if given is None:
                working.remove(labeler)
            else:
                answer(store, labeler, given.task.id, now)
    return now
