"""The history and its chain."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

from people.store.rounds import a_round, tasks, work
from preflab_people.store import Event, event_to_json
from preflab_people.store.events import START, body_digest, in_words, next_link
from preflab_people.store.verifying import chain_problems


def test_a_link_by_hand() -> None:
    # The form of the tables, the chain before, and the line without its own chain; sorted keys.
    event = Event(1, "submitted", 2.5, "digest", "", task="t", labeler="l", key="k")
    line = (
        '{"at":2.5,"body":"digest","instructions":null,"key":"k","kind":"submitted","labeler":"l",'
        '"n":1,"seconds":null,"supersedes":null,"task":"t"}'
    )
    text = f'[1,"{START}",{line}]'
    assert next_link(START, event) == hashlib.sha256(text.encode()).hexdigest()
    assert body_digest("salt", "words") == hashlib.sha256(b"salt\nwords").hexdigest()


def test_every_line_depends_on_all_before_it(tmp_path: Path) -> None:
    store, people = a_round(tmp_path / "store.sqlite", tasks(single=4), people=2)
    work(store, people)
    history = list(store.snapshot().events)
    store.dispose()
    assert list(chain_problems(history)) == []
    for place, event in enumerate(history):
        changed = [*history[:place], replace(event, at=event.at + 1.0), *history[place + 1 :]]
        assert list(chain_problems(changed)) == [
            f"event {place + 1} was changed: its chain does not match"
        ]
    swapped = [*history[:3], history[4], history[3], *history[5:]]
    assert list(chain_problems(swapped)) == ["event 4 is missing: event 5 follows"]


def test_the_chain_holds_without_what_was_said(tmp_path: Path) -> None:
    """Whoever has the lines alone, as in a frozen round, can check them."""
    store, people = a_round(tmp_path / "store.sqlite", tasks(single=2), people=1)
    work(store, people)
    lines = [json.dumps(event_to_json(event)) for event in store.snapshot().events]
    store.dispose()
    assert list(chain_problems(Event(**json.loads(line)) for line in lines)) == []
    assert "ranks" not in "".join(lines)


def test_no_call_changes_or_deletes_a_line(tmp_path: Path) -> None:
    store, people = a_round(tmp_path / "store.sqlite", tasks(single=2, double=2), people=3)
    trigger = "CREATE TRIGGER keep_{0} BEFORE {0} ON events BEGIN SELECT RAISE(ABORT, 'no'); END"
    connection = sqlite3.connect(tmp_path / "store.sqlite")
    connection.execute(trigger.format("DELETE"))
    columns = "n, kind, at, task, labeler, key, seconds, instructions, supersedes, body, chain"
    connection.execute(trigger.format("UPDATE").replace("ON", f"OF {columns} ON"))
    connection.commit()
    connection.close()
    work(store, people)
    store.undo(people[0], 50.0)
    store.set_state(people[1], "removed", 51.0)
    store.forget(people[2], 52.0)
    store.close(53.0)
    assert store.verify() == ()
    store.dispose()


def test_times_in_words() -> None:
    assert in_words(1_790_000_000.25) == "2026-09-21T14:13:20.250Z"
