"""A store whose process is killed, at any time and at every commit: nothing confirmed is lost,
nothing is there twice."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from people.store.kills import label_under_kills
from people.store.rounds import a_round, settings, tasks
from preflab_people.judgments import Answer
from preflab_people.store import Event, Store

BEST, WORST = Answer((1, 2, 3)), Answer((3, 2, 1))


@pytest.mark.slow
def test_some_kills_lose_nothing(place: str) -> None:
    print(label_under_kills(place, number=200, people=8, kills=5))


@pytest.mark.label
def test_many_kills_lose_nothing(place: str) -> None:
    print(label_under_kills(place, number=3000, people=16, kills=50))


# --- a crash at every commit ---


def _who(store: Store, place: int = 0) -> str:
    return store.people()[place].id


STEPS: dict[str, tuple[int, Callable[[Store], Any]]] = {
    "invite": (1, lambda s: s.invite("nurses", now=1.0)),
    "invite another": (1, lambda s: s.invite(now=2.0)),
    "instructions": (1, lambda s: s.add_instructions("# Read this", 3.0)),
    "consent": (1, lambda s: s.consent(_who(s), 1, 4.0)),
    "the other's consent": (1, lambda s: s.consent(_who(s, 1), 1, 4.5)),
    "new token": (1, lambda s: s.new_token(_who(s), 5.0)),
    "next task": (0, lambda s: s.next_task(_who(s), 6.0)),
    "draft": (0, lambda s: s.save_draft(_who(s), "t0", {"notes": "half"}, 7.0)),
    "renew": (0, lambda s: s.renew(_who(s), "t0", 8.0)),
    "submit": (1, lambda s: s.submit(_who(s), "t0", BEST, "k1", now=9.0)),
    "correct": (1, lambda s: s.submit(_who(s), "t0", WORST, "k2", now=10.0)),
    "undo": (1, lambda s: s.undo(_who(s), 11.0)),
    "submit again": (1, lambda s: s.submit(_who(s), "t0", BEST, "k3", now=12.0)),
    "the other's task": (0, lambda s: s.next_task(_who(s, 1), 13.0)),
    "the other submits": (1, lambda s: s.submit(_who(s, 1), "t0", BEST, "k4", now=14.0)),
    "another task": (0, lambda s: s.next_task(_who(s, 1), 15.0)),
    "skip": (1, lambda s: s.submit(_who(s, 1), "t1", Answer(skipped="broken"), "k5", now=16.0)),
    "remove": (1, lambda s: s.set_state(_who(s), "removed", 17.0)),
    "take back": (1, lambda s: s.set_state(_who(s), "active", 18.0)),
    "forget": (1, lambda s: s.forget(_who(s, 1), 19.0)),
    "close": (1, lambda s: s.close(20.0)),
}
"""By name: how many events a call adds, and the call."""


def _crash(place: str, act: Callable[[Store], Any], when: str) -> None:
    """Do something in a forked process that is killed just before, or just after, its commit."""
    child = os.fork()
    if child == 0:
        try:
            store = Store.open(place)
            dialect = store._database.engine.dialect
            commit = dialect.do_commit

            def last_commit(connection: Any) -> None:
                if "before" in when:
                    os.kill(os.getpid(), signal.SIGKILL)
                commit(connection)
                os.kill(os.getpid(), signal.SIGKILL)

            write = store._database.write

            def harmed(work: Any) -> Any:
                dialect.do_commit = last_commit  # type: ignore[assignment, method-assign]
                return write(work)

            store._database.write = harmed  # type: ignore[method-assign]
            act(store)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def _history(place: str) -> tuple[Event, ...]:
    with Store.open(place) as store:
        assert store.verify() == ()
        return store.snapshot().events


def test_a_crash_at_every_commit_leaves_all_or_nothing(place: str) -> None:
    store, _ = a_round(place, tasks(single=2, double=1), consent="Text")
    store.dispose()
    for name, (added, act) in STEPS.items():
        before = _history(place)
        _crash(place, act, "just before")
        assert _history(place) == before, name
        _crash(place, act, "just after")
        after = _history(place)
        assert after[: len(before)] == before, name
        assert len(after) - len(before) == added, name
        if "submit" in name or name in ("correct", "skip"):
            with Store.open(place) as again:  # the page never heard of it, and sends it again
                receipt = act(again)
                assert (receipt.event, receipt.repeated) == (after[-1].n, True), name
    with Store.open(place) as again:
        seen = again.snapshot()
        assert [judgment.answer for judgment in seen.judgments] == [BEST]
        assert again.progress().closed
        assert again.instructions().markdown == "# Read this"


def test_a_crash_while_a_round_is_made_leaves_none(place: str) -> None:
    child = os.fork()
    if child == 0:
        try:
            from sqlalchemy.engine.default import DefaultDialect

            def never(dialect: Any, connection: Any) -> None:
                os.kill(os.getpid(), signal.SIGKILL)

            DefaultDialect.do_commit = never  # type: ignore[method-assign]
            Store.create(place, settings(), tasks(single=1), now=0.0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    store, _ = a_round(place, tasks(single=1), people=1)
    assert store.verify() == ()
    store.dispose()
