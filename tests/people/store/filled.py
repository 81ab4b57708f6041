"""A store that is far along, made in seconds: the rows that so many answers would have left."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import permutations
from typing import Any

from sqlalchemy import Connection, insert, text, update

from people.store.rounds import new_key
from preflab_people.judgments import Answer, Task, answer_to_json
from preflab_people.store import Event, Store, schema
from preflab_people.store.events import body_digest, next_link

SAID = json.dumps({"answer": answer_to_json(Answer((1, 2, 3))), "order": [0, 1, 2]}, sort_keys=True)
SALT = "0" * 32


def _answers(
    content: Sequence[Task], people: Sequence[str], start: Event
) -> Iterator[tuple[Task, Event]]:
    """Events in which people, in turn, judge tasks as often as each wants."""
    before, number = start, 0
    for task in content:
        for _ in range(task.want):
            labeler, number = people[number % len(people)], number + 1
            facts: dict[str, Any] = {"task": task.id, "labeler": labeler, "key": new_key()}
            facts |= {"seconds": 30.0, "instructions": 1}
            digest = body_digest(SALT, SAID)
            event = Event(before.n + 1, "submitted", before.at + 1.0, digest, "", **facts)
            before = replace(event, chain=next_link(before.chain, event))
            yield task, before


def fill(store: Store, content: Sequence[Task], people: Sequence[str]) -> None:
    """Let people have judged some tasks of a new store."""
    last = store.snapshot().events[-1]
    made = list(_answers(content, people, last))
    who: dict[str, list[str]] = {}
    for task, event in made:
        who.setdefault(task.id, []).append(event.labeler or "")
    shared = Counter(pair for judges in who.values() for pair in permutations(judges, 2))
    numbers = Counter(event.labeler for _, event in made)

    def write(connection: Connection) -> None:
        connection.execute(insert(schema.events), [{**asdict(e), "live": 1} for _, e in made])
        bodies = [{"event": e.n, "salt": SALT, "text": SAID} for _, e in made]
        connection.execute(insert(schema.bodies), bodies)
        leases = [
            {
                "task": task.id,
                "labeler": e.labeler,
                "state": "done",
                "until": e.at,
                "at": e.at,
                "event": e.n,
                "several": int(task.want > 1),
                "counts": 1,
            }
            for task, e in made
        ]
        connection.execute(insert(schema.leases), leases)
        done = text("UPDATE tasks SET done = want, open = 0 WHERE id = :id")
        connection.execute(done, [{"id": task.id} for task in content])
        pairs = [{"labeler": a, "other": b, "tasks": n} for (a, b), n in shared.items()]
        connection.execute(insert(schema.partners), pairs)
        for labeler, number in numbers.items():
            mine = update(schema.people).where(schema.people.c.id == labeler)
            connection.execute(mine.values(submitted=number))
        end = made[-1][1]
        connection.execute(update(schema.head).values(n=end.n, chain=end.chain, at=end.at))

    store._database.write(write)
