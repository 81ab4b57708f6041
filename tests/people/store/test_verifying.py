"""Whatever is changed behind the store's back is found and named."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from people.store.rounds import a_round, tasks, work
from preflab_people.store import Store

ANSWER = "(SELECT min(n) FROM events WHERE kind = 'submitted')"
CHANGES = {
    "a line": (f"UPDATE events SET seconds = 1 WHERE n = {ANSWER}", "was changed: its chain"),
    "who": (f"UPDATE events SET labeler = 'labeler-xxxx' WHERE n = {ANSWER}", "was changed"),
    "a line is gone": (f"DELETE FROM events WHERE n = {ANSWER}", "is missing: event"),
    "the end is gone": (
        "DELETE FROM events WHERE n = (SELECT max(n) FROM events)",
        "ends with event 16, and event 17 was the last one",
    ),
    "words": (
        f"UPDATE bodies SET text = replace(text, '1', '2') WHERE event = {ANSWER}",
        "what it says was changed",
    ),
    "words are gone": (f"DELETE FROM bodies WHERE event = {ANSWER}", "what it says is missing"),
    "words too many": ("INSERT INTO bodies VALUES (999, '', '')", "words for event 999"),
    "a mark": (f"UPDATE events SET live = 0 WHERE n = {ANSWER}", "is not marked as a valid"),
    "open": ("UPDATE tasks SET open = 5 WHERE id = 't0'", "task t0: open is 5, and 0 follows"),
    "done": ("UPDATE tasks SET done = 0 WHERE id = 't0'", "task t0: done is 0, and 2 follows"),
    "aside": ("UPDATE tasks SET aside = 1 WHERE id = 't1'", "task t1: aside is 1, and 0 follows"),
    "partners": ("UPDATE partners SET tasks = 7", "share 2 tasks, not 7"),
    "people": ("UPDATE people SET submitted = 40", "submitted 5 tasks, not 40"),
    "a lease": ("UPDATE leases SET state = 'lapsed' WHERE task = 't0'", "t0: the lease of"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_named(tmp_path: Path, change: str) -> None:
    path = tmp_path / "store.sqlite"
    # 1 event for the round, 2 for the people, 10 answers, and 2 x 2 to undo and answer again.
    store, people = a_round(path, tasks(single=6, double=2), people=2)
    work(store, people)
    store.undo(people[1], 90.0)
    store.submit(people[1], "t7", store.snapshot().judgments[0].answer, "k", now=91.0)
    store.undo(people[1], 92.0)
    store.submit(people[1], "t7", store.snapshot().judgments[0].answer, "l", now=93.0)
    assert store.verify() == ()
    store.dispose()
    statement, said = CHANGES[change]
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    with Store.open(path) as again:
        problems = again.verify()
    assert any(said in problem for problem in problems), problems


def test_few_of_many_problems_are_named(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store, _ = a_round(path, tasks(single=100))
    store.dispose()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE tasks SET done = 1")
    connection.commit()
    connection.close()
    with Store.open(path) as again:
        assert len(again.verify()) == 20
