"""Rounds for the tests: tasks, people, and what they said, frozen without a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from preflab.records import Prompt
from preflab_people.frozen import FrozenRound, freeze
from preflab_people.judgments import Answer, Judgment, Origin, Person, Task, TaskKind, task_id
from preflab_people.rounds import Round, set_frozen, write_round
from preflab_people.store import Event, Instructions, RoundSettings, Snapshot

PEOPLE = (
    Person("labeler-a", "north"),
    Person("labeler-b", "south"),
    Person("labeler-c", "north", held_out=True),
    Person("labeler-d", "south", state="removed"),
)


def task(
    name: str,
    *responses: str,
    origin: Origin = "normal",
    kind: TaskKind = "rank",
    want: int = 1,
    arms: Sequence[Sequence[str]] = (),
) -> Task:
    """A task about the prompt ``name``, for training."""
    prompt = Prompt(name, f"say {name} .", split="train", user="u1", tags=("t",))
    expected = Answer(ranks=(1, 2)) if origin in ("gold", "screening") else None
    return Task(
        task_id(kind, prompt, responses, origin),
        kind,
        prompt,
        responses,
        tuple(map(tuple, arms)),
        origin,
        want,
        expected,
    )


def snapshot(
    tasks: Sequence[Task],
    answers: Sequence[tuple[Task, str, Answer]],
    people: Sequence[Person] = PEOPLE,
    kind: TaskKind = "rank",
    flags: Sequence[str] = (),
) -> Snapshot:
    """A closed round in which people (by the letter of their name) gave answers to tasks."""
    judgments = [
        Judgment(task.id, f"labeler-{letter}", answer, 10.0, (0, 1), 1, "2026-01-01T00:00:00Z", n)
        for n, (task, letter, answer) in enumerate(answers, 2)
    ]
    return Snapshot(
        RoundSettings("round-1", kind, pool="ab" * 32, flags=tuple(flags)),
        tuple(tasks),
        tuple(judgments),
        tuple(people),
        (Event(1, "created", 0.0, "b", "c"),),
        (Instructions(1, "Be fair."),),
        closed=True,
    )


def closed_round(
    base: Path, given: Snapshot, equal: Mapping[str, str] = MappingProxyType({})
) -> FrozenRound:
    """The same as a round in ``base/labels/round-1``, frozen. equal: of the frozen round."""
    folder = base / "labels" / given.settings.name
    made = Round(given.settings.name, given.settings.kind, given.settings.pool)
    write_round(folder, made)
    frozen = freeze(folder, given, {}, equal)
    set_frozen(folder, made, frozen)
    return frozen
