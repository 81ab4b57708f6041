"""A round through the door of its store: from the invitation to the snapshot."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from people.store.rounds import LEASE, a_round, answer, settings, tasks, work
from preflab.errors import UserError
from preflab_people.judgments import Answer, Judgment, Person
from preflab_people.store import Store, StoreRefusal, schema
from preflab_people.store.database import Database


def test_a_person_logs_in_works_and_their_judgment_is_in_the_snapshot(place: str) -> None:
    store = Store.create(place, settings(), tasks(single=1), now=10.0)
    invited = store.invite("nurses", now=11.0)
    person = Person(invited.labeler, "nurses")
    assert store.login(invited.token, 12.0) == person
    assert store.login("another token", 12.0) is None
    given = store.next_task(invited.labeler, 13.0)
    assert given is not None
    assert (given.task, given.until) == (tasks(single=1)[0], 13.0 + LEASE)
    said = Answer(ranks=(2, 1, 1), flags=((), ("rude",), ()), notes="ok")
    order = given.order
    receipt = store.submit(invited.labeler, "t0", said, "k", 4.5, order, 2, now=14.5)
    assert store.next_task(invited.labeler, 15.0) is None
    seen = store.snapshot()
    at = "1970-01-01T00:00:14.500Z"
    judgment = Judgment("t0", invited.labeler, said, 4.5, order, 2, at, receipt.event)
    assert (seen.settings, list(seen.tasks)) == (settings(), tasks(single=1))
    assert (seen.judgments, seen.people) == ((judgment,), (person,))
    assert [event.kind for event in seen.events] == ["created", "invited", "submitted"]
    store.dispose()


def test_an_open_store_is_the_one_that_was_made(place: str) -> None:
    store, _people = a_round(place, tasks(single=2), people=2, likert=True)
    before = store.snapshot()
    store.dispose()
    with Store.open(place) as again:
        assert again.settings == settings(likert=True)
        assert again.snapshot() == before


def test_what_cannot_be_opened_or_made_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with pytest.raises(UserError, match=r"There is no round in .*store\.sqlite"):
        Store.open(path)
    store, _ = a_round(path, tasks(single=1))
    store.dispose()
    with pytest.raises(UserError, match="holds a round already"):
        Store.create(path, settings(), tasks(single=1))
    database = Database(path)
    newer = update(schema.meta).where(schema.meta.c.key == "schema").values(value="3")
    database.write(lambda connection: connection.execute(newer))
    database.dispose()
    with pytest.raises(
        UserError, match=r"newer preflab \(form 3 of the tables; this one knows 2\)"
    ):
        Store.open(path)
    for address in ("mysql://localhost/x", "nonsense://x", "sqlite://", "postgresql://localhost"):
        with pytest.raises(UserError, match="store"):
            Store.open(address)


def test_tasks_that_no_round_can_have_are_named(place: str) -> None:
    for content, said in (
        ([], "at least one task that is neither gold nor screening"),
        (tasks(single=1) * 2, "Task t0 is there twice"),
    ):
        with pytest.raises(UserError, match=said):
            Store.create(place, settings(), content)


def test_a_closed_round_takes_no_answers(place: str) -> None:
    store, (first,) = a_round(place, tasks(single=2), people=1)
    store.next_task(first, 1.0)
    answered = store.submit(first, "t0", Answer((1, 2, 3)), "k", now=2.0)
    store.next_task(first, 3.0)
    store.close(4.0)
    store.close(5.0)
    assert [event.kind for event in store.snapshot().events].count("closed") == 1
    for refused in (
        lambda: answer(store, first, "t1", 6.0),
        lambda: store.next_task(first, 6.0),
        lambda: store.undo(first, 6.0),
        lambda: store.save_draft(first, "t1", {}, 6.0),
    ):
        with pytest.raises(StoreRefusal, match="closed"):
            refused()
    # The page may not have heard of its answer: the same key still gives the receipt.
    assert store.submit(first, "t0", Answer((1, 2, 3)), "k", now=6.0).event == answered.event
    assert store.progress().closed
    store.dispose()


def test_instructions_have_versions(place: str) -> None:
    store, _ = a_round(place, tasks(single=1))
    assert (store.instructions().version, store.instructions().markdown) == (0, "")
    assert [store.add_instructions(text, 1.0) for text in ("# One", "# Two")] == [1, 2]
    assert (store.instructions().version, store.instructions().markdown) == (2, "# Two")
    assert store.instructions(1).markdown == "# One"
    with pytest.raises(UserError, match="no version 3 of the instructions; there are 2"):
        store.instructions(3)
    store.dispose()


def test_progress_counts_what_was_asked(place: str) -> None:
    store, people = a_round(place, tasks(single=4, double=2), people=3)
    work(store, people, rounds=1)
    given = store.next_task(people[0], 50.0)
    assert given is not None
    answer(store, people[0], given.task.id, 51.0, Answer(skipped="unclear"))
    seen = store.progress()
    # 4 tasks once and 2 twice are 8 judgments; 3 were given, the skipped one goes to another.
    assert (seen.tasks, seen.wanted, seen.done, seen.skipped, seen.open) == (6, 8, 3, 1, 5)
    assert seen.asked == 3 + 1 + 5
    # Two people judged one of those that want two, the third began the other.
    assert (seen.begun, seen.double_tasks, seen.double_done) == (2, 2, 1)
    assert [member.submitted for member in seen.people] == [1, 1, 1]
    assert (seen.people[0].skipped, seen.active, seen.closed) == (1, 3, False)
    assert not seen.people[0].waits
    store.dispose()


def test_a_task_can_be_seen_again_by_those_who_had_it_alone(tmp_path: Path) -> None:
    store, (first, second) = a_round(tmp_path / "s.sqlite", tasks(single=2), people=2)
    given = store.next_task(first, now=1.0)
    assert given is not None
    store.save_draft(first, given.task.id, {"notes": "x"}, now=2.0)
    seen = store.assigned(first, given.task.id)
    assert (seen.task, seen.order, seen.draft) == (given.task, given.order, {"notes": "x"})
    assert seen.until == 2.0 + LEASE  # the draft renewed it, looking does not
    with pytest.raises(StoreRefusal, match="not given to you"):
        store.assigned(second, given.task.id)
    assert not store.is_closed
    store.close(now=3.0)
    assert store.is_closed
