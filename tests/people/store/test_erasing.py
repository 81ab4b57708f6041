"""A person is forgotten: nothing that they said is left, and the history still holds together."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import select

from people.store.rounds import a_round, answer, tasks, work
from preflab_people.judgments import Answer
from preflab_people.store import Store, StoreRefusal, schema, survey
from preflab_people.store.people import token_digest

SECRET = "Xylophonqwertz"  # in their texts, drafts, group and name
ALL = Answer((1, 2, 3), notes=f"a note with {SECRET}")


def _hits(folder: Path) -> dict[str, int]:
    """By file how often the secret is in its bytes."""
    found = {path.name: path.read_bytes().count(SECRET.encode()) for path in folder.iterdir()}
    return {name: count for name, count in found.items() if count}


def _busy(place: Path | str) -> tuple[Store, str, list[str], str]:
    """A round in which one person left their secret everywhere, between the words of others."""
    store, others = a_round(place, tasks(single=60, double=4), people=2)
    about = {"name": SECRET} if store.names is not None else None
    labeler, now = store.invite(group=f"group {SECRET}", about=about, now=1.0).labeler, 2.0
    for number in range(20):
        for other in others:
            now = work(store, [other], now, rounds=1)
        given = store.next_task(labeler, now)
        assert given is not None
        for version in range(3):  # a draft that grows moves in its page
            said = {"notes": f"{SECRET} {number} " * (1 + version * 30)}
            store.save_draft(labeler, given.task.id, said, now)
        long = Answer((1, 2, 3), written=f"{SECRET} {number} " * (40 if number % 5 == 0 else 1))
        answer(store, labeler, given.task.id, now, long if number % 2 else ALL)
        if number % 7 == 0:
            store.undo(labeler, now)
            answer(store, labeler, given.task.id, now, ALL)
    given = store.next_task(labeler, now)
    assert given is not None
    store.save_draft(labeler, given.task.id, {"notes": SECRET}, now)
    store.set_state(labeler, "paused", now)
    store.set_state(labeler, "active", now)
    store.consent(labeler, 1, now)
    token = store.new_token(labeler, now).token
    if store.names is not None:
        answers = {"answers": {"nationality": [SECRET]}, "link": True}
        survey.keep(store.names.path.with_name(survey.FILE), labeler, answers)
    return store, labeler, others, token


def test_nothing_of_a_forgotten_person_is_left(tmp_path: Path) -> None:
    store, labeler, others, token = _busy(tmp_path / "store.sqlite")
    assert _hits(tmp_path)  # the search finds it
    assert set(_hits(tmp_path)) >= {"people.json", "survey.jsonl"}
    asked = store.progress().wanted
    chain = [event.chain for event in store.snapshot().events]
    store.forget(labeler, 100.0)
    assert _hits(tmp_path) == {}
    seen = store.snapshot()
    assert {judgment.labeler for judgment in seen.judgments} == set(others)
    (gone,) = [person for person in seen.people if person.id == labeler]
    assert (gone.state, gone.group) == ("forgotten", "")
    assert [event.chain for event in seen.events[:-1]] == chain
    assert (seen.events[-1].kind, seen.events[-1].labeler) == ("forgotten", labeler)
    assert store.login(token, 101.0) is None
    assert store.verify() == ()
    with pytest.raises(StoreRefusal) as refused:
        store.next_task(labeler, 102.0)
    assert refused.value.code == "forgotten"
    events = len(store.snapshot().events)
    store.forget(labeler, 103.0)  # again, after another program had kept the journal
    assert len(store.snapshot().events) == events
    work(store, others, 200.0)  # others give what is missing
    assert store.progress().done == asked
    assert store.verify() == ()
    store.backup(tmp_path / "backup.sqlite")
    store.dispose()
    assert _hits(tmp_path) == {}


def test_it_goes_while_a_reader_looks_and_a_person_works(tmp_path: Path) -> None:
    store, labeler, others, _ = _busy(tmp_path / "store.sqlite")
    with Store.open(tmp_path / "store.sqlite") as server:
        assert server.next_task(others[0], 300.0) is not None
        server.snapshot()
        store.forget(labeler, 301.0)
        answer(server, others[0], server.next_task(others[0], 302.0).task.id, 303.0)  # type: ignore[union-attr]
        assert server.verify() == ()
    store.dispose()
    assert _hits(tmp_path) == {}


def test_it_goes_from_every_row_of_every_table(place: str) -> None:
    """What is left in PostgreSQL's own journal and its backups is its administrator's."""
    store, labeler, _others, token = _busy(place)
    words = (SECRET, token_digest(token))

    def rows_with_it() -> set[str]:
        found = set()
        with store._database.reading() as connection:
            for table in schema.metadata.sorted_tables:
                said = "\n".join(map(str, connection.execute(select(table))))
                found |= {table.name for word in words if word in said}
        return found

    assert rows_with_it() >= {"bodies", "drafts", "people"}
    store.forget(labeler, 100.0)
    assert rows_with_it() == set()
    assert store.verify() == ()
    store.dispose()


def test_who_was_removed_can_be_forgotten(tmp_path: Path) -> None:
    store, people = a_round(tmp_path / "store.sqlite", tasks(single=2, double=2), people=2)
    work(store, people)
    store.set_state(people[0], "removed", 50.0)
    store.forget(people[0], 51.0)
    assert (store.progress().done, store.progress().open) == (3, 3)
    assert store.verify() == ()
    store.dispose()


def test_a_digest_in_the_history_does_not_give_a_short_answer_away(tmp_path: Path) -> None:
    store, people = a_round(tmp_path / "store.sqlite", tasks(single=2), people=2)
    for labeler in people:  # the same words twice
        given = store.next_task(labeler, 1.0)
        assert given is not None
        answer(store, labeler, given.task.id, 2.0)
    digests = [e.body for e in store.snapshot().events if e.kind == "submitted"]
    assert len(set(digests)) == 2
    store.forget(people[0], 3.0)
    store.dispose()
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        (salts,) = connection.execute(
            "SELECT count(*) FROM bodies JOIN events ON n = event WHERE labeler = ? AND kind != ?",
            (people[0], "forgotten"),
        ).fetchone()
    connection.close()
    assert salts == 0
