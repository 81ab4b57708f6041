"""Many tasks, many people at a time, many labels: what it costs, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from people.store.filled import fill
from people.store.rounds import a_round, answer, tasks
from preflab_people.judgments import Answer
from preflab_people.store import Store

LABELERS = 32
TASKS = 33_000


def _far_along(path: Path | str, number: int) -> tuple[Store, list[str]]:
    """A round of so many tasks, 20 % of them double, of which 90 % are done."""
    content = tasks(single=number * 4 // 5, double=number // 5)
    store, people = a_round(path, content, LABELERS)
    fill(store, content[: number * 9 // 10], people)
    return store, people


def test_a_filled_store_is_one_that_people_filled(tmp_path: Path) -> None:
    store, people = _far_along(tmp_path / "store.sqlite", 300)
    assert store.verify() == ()
    # 60 doubles come first and are done: 270 tasks, 330 judgments.
    assert (store.progress().done, store.progress().open) == (330, 30)
    given = store.next_task(people[0], 1e6)
    assert given is not None
    answer(store, people[0], given.task.id, 1e6)
    assert store.verify() == ()
    store.dispose()


def test_a_next_task_looks_at_no_table_as_a_whole(tmp_path: Path) -> None:
    """The partial indexes fit: a query whose condition is spelled otherwise would scan the table,
    and nobody would see it in a small round."""
    store, people = _far_along(tmp_path / "store.sqlite", 3000)
    partial = ("tasks_single", "tasks_fresh", "tasks_started", "leases_until")
    engine, scanned, used = store._database.engine, set[str](), set[str]()

    def explain(
        connection: Connection, cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            plan = connection.connection.cursor()
            plan.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            for line in plan.fetchall():
                used.update(line[3].split())
                if line[3].startswith("SCAN") and not line[3].endswith(partial):
                    scanned.add(f"{line[3]}: {statement}")

    event.listen(engine, "before_cursor_execute", explain)
    for number in range(4):
        given = store.next_task(people[number], 1e6)
        assert given is not None
        answer(store, people[number], given.task.id, 1e6)
    event.remove(engine, "before_cursor_execute", explain)
    # Small tables: one row, one row a person, and one a pair of people.
    small = ("SCAN people", "SCAN partners", "SCAN head")
    assert [line for line in sorted(scanned) if not line.startswith(small)] == []
    assert set(partial) <= used
    store.dispose()


def _in_threads(people: list[str], work: Callable[[str], None]) -> None:
    threads = [threading.Thread(target=work, args=(labeler,)) for labeler in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.label
def test_32_people_at_33000_tasks_wait_150_ms_at_most(place: str) -> None:
    """Each answers every 2 seconds, 15 times as often as people do: 16 answers a second."""
    store, people = _far_along(place, TASKS)
    assert store.verify() == ()
    times: list[float] = []

    def label(labeler: str) -> None:
        time.sleep(people.index(labeler) * 2.0 / LABELERS)
        for _ in range(10):
            begun = time.monotonic()
            given = store.next_task(labeler, 1e6)
            assert given is not None
            answer(store, labeler, given.task.id, 1e6)
            times.append(time.monotonic() - begun)
            time.sleep(max(0.0, begun + 2.0 - time.monotonic()))

    label(people[0])
    times.clear()
    _in_threads(people, label)
    p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    print(f"next + submit: median {p50 * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms; {_load()}")
    assert store.verify() == ()
    store.dispose()
    assert p95 <= 0.150


@pytest.mark.label
def test_forty_labels_a_second_are_on_disk(place: str) -> None:
    """32 threads that never pause."""
    store, people = _far_along(place, 10_000)
    times: list[float] = []

    def label(labeler: str) -> None:
        for _ in range(30):
            begun = time.monotonic()
            given = store.next_task(labeler, 1e6)
            assert given is not None
            answer(store, labeler, given.task.id, 1e6)
            times.append(time.monotonic() - begun)

    begun, cpu = time.monotonic(), time.process_time()
    _in_threads(people, label)
    rate = LABELERS * 30 / (time.monotonic() - begun)
    each = (time.process_time() - cpu) / (LABELERS * 30)
    p95 = statistics.quantiles(times, n=20)[-1]
    ms = p95 * 1000
    print(f"{rate:.0f} labels/s, p95 {ms:.0f} ms; {each * 1000:.1f} ms of CPU each; {_load()}")
    assert store.verify() == ()
    store.dispose()
    assert rate >= 40


@pytest.mark.label
def test_ten_thousand_labels_take_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without waiting for the disk, which takes no memory."""
    pragmas = ("busy_timeout = 20000", "journal_mode = WAL", "synchronous = OFF")
    monkeypatch.setattr("preflab_people.store.database.PRAGMAS", pragmas)
    store, people = a_round(tmp_path / "store.sqlite", tasks(single=10_600, double=600), 8)
    said = Answer((1, 2, 3), (4, 4, 4), (("rude",), (), ()), notes="n" * 200)

    def label(number: int) -> None:
        for place in range(number):
            labeler = people[place % len(people)]
            given = store.next_task(labeler, float(place))
            assert given is not None
            answer(store, labeler, given.task.id, float(place), said)

    label(1000)
    before = _resident()
    label(10_000)
    growth = _resident() - before
    print(f"resident memory grew by {growth / 1e6:.1f} MB in 10,000 labels")
    assert len(store.snapshot().judgments) == 11_000
    store.dispose()
    assert growth <= 20e6


def _resident() -> int:
    """Bytes of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
