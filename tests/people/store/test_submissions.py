"""Answers, their repetitions, corrections and withdrawals."""

from __future__ import annotations

from pathlib import Path

import pytest

from people.store.rounds import a_round, answer, tasks, work
from preflab_people.judgments import Answer
from preflab_people.store import StoreRefusal

BEST, WORST = Answer((1, 2, 3)), Answer((3, 2, 1))
UNCLEAR = Answer(skipped="unclear")


def test_the_same_key_is_one_answer(place: str) -> None:
    store, (first, second) = a_round(place, tasks(single=2), people=2)
    store.next_task(first, 1.0)
    once = store.submit(first, "t0", BEST, "k", now=2.0)
    again = store.submit(first, "t0", BEST, "k", now=3.0)
    assert (again.event, once.repeated, again.repeated) == (once.event, False, True)
    # Even after the answer was corrected: the page had not heard of its first one.
    store.submit(first, "t0", WORST, "another key", now=4.0)
    assert store.submit(first, "t0", BEST, "k", now=5.0).event == once.event
    assert [j.answer for j in store.snapshot().judgments] == [WORST]
    store.next_task(second, 6.0)
    with pytest.raises(StoreRefusal) as refused:
        store.submit(second, "t1", BEST, "k", now=7.0)
    assert refused.value.code == "key_reused"
    assert store.verify() == ()
    store.dispose()


def test_a_correction_supersedes(place: str) -> None:
    store, (first, second) = a_round(place, tasks(single=1, double=1), people=2)
    work(store, [first, second])
    store.submit(first, "t0", WORST, "k", 9.0, (2, 1, 0), 3, now=90.0)
    seen = store.snapshot()
    (mine,) = [j for j in seen.judgments if (j.task, j.labeler) == ("t0", first)]
    assert (mine.answer, mine.seconds, mine.order) == (WORST, 9.0, (2, 1, 0))
    assert mine.instructions == 3
    replaced = seen.events[mine.event - 1].supersedes
    assert replaced is not None
    assert seen.events[replaced - 1].task == "t0"
    assert store.progress().done == 3
    assert store.verify() == ()
    store.dispose()


def test_undo_gives_the_task_and_the_answer_back(place: str) -> None:
    store, (first, second) = a_round(place, tasks(single=2), people=2)
    store.next_task(first, 1.0)
    answer(store, first, "t0", 2.0, WORST)
    held = store.next_task(first, 3.0)
    assert held is not None
    store.save_draft(first, "t1", {"notes": "x"}, 4.0)
    back = store.undo(first, 5.0)
    assert (back.task.id, back.answer, back.draft) == ("t0", WORST, None)
    assert store.next_task(second, 6.0) is None  # both are the first person's
    reloaded = store.next_task(first, 7.0)
    assert reloaded is not None
    assert (reloaded.task.id, reloaded.answer) == ("t0", WORST)
    answer(store, first, "t0", 8.0, BEST)
    following = store.next_task(first, 9.0)
    assert following is not None
    assert (following.task.id, following.draft) == ("t1", {"notes": "x"})
    assert [j.answer for j in store.snapshot().judgments] == [BEST]
    assert store.verify() == ()
    store.dispose()


def test_undo_goes_back_answer_by_answer(tmp_path: Path) -> None:
    store, (first,) = a_round(tmp_path / "s.sqlite", tasks(single=3), people=1)
    work(store, [first])
    assert [store.undo(first, 50.0 + n).task.id for n in range(3)] == ["t2", "t1", "t0"]
    with pytest.raises(StoreRefusal) as refused:
        store.undo(first, 60.0)
    assert refused.value.code == "nothing_to_undo"
    assert (store.progress().done, store.member(first).submitted) == (0, 0)
    assert store.verify() == ()
    store.dispose()


def test_a_skip_asks_others_until_too_many_skipped(tmp_path: Path) -> None:
    store, people = a_round(tmp_path / "s.sqlite", tasks(single=1), people=4, skip_limit=3)
    for number, labeler in enumerate(people[:3]):
        assert store.next_task(labeler, number * 10.0) is not None
        answer(store, labeler, "t0", number * 10.0 + 1.0, UNCLEAR)
        assert store.next_task(labeler, number * 10.0 + 2.0) is None
    assert store.next_task(people[3], 40.0) is None
    seen = store.progress()
    assert (seen.skipped, seen.aside, seen.aside_wanted, seen.open) == (3, 1, 1, 0)
    assert seen.asked == 3
    store.undo(people[2], 41.0)
    seen = store.progress()
    assert (seen.skipped, seen.aside, seen.open) == (2, 0, 1)
    answer(store, people[2], "t0", 42.0)
    assert store.progress().done == 1
    assert store.verify() == ()
    store.dispose()


def test_a_skip_becomes_an_answer_only_while_the_task_wants_one(tmp_path: Path) -> None:
    store, (first, second) = a_round(tmp_path / "s.sqlite", tasks(single=1), people=2)
    store.next_task(first, 1.0)
    answer(store, first, "t0", 2.0, UNCLEAR)
    store.next_task(second, 3.0)
    answer(store, second, "t0", 4.0)
    for act in (lambda: answer(store, first, "t0", 5.0), lambda: store.undo(first, 5.0)):
        with pytest.raises(StoreRefusal) as refused:
            act()
        assert refused.value.code == "task_full"
    # The other way round: an answer that becomes a skip asks others again.
    answer(store, second, "t0", 6.0, UNCLEAR)
    assert (store.progress().done, store.progress().open, store.progress().skipped) == (0, 1, 2)
    answer(store, first, "t0", 7.0)
    assert [j.labeler for j in store.snapshot().judgments if not j.answer.skipped] == [first]
    assert store.verify() == ()
    store.dispose()


def test_who_was_removed_counts_no_more_and_can_come_back(tmp_path: Path) -> None:
    store, people = a_round(tmp_path / "s.sqlite", tasks(single=2, double=2), people=3)
    work(store, people[:2])
    assert store.progress().open == 0
    store.set_state(people[0], "removed", 50.0)
    # 2 x 2 + 2 = 6 judgments, half of them by each; those of the first are asked for again.
    seen = store.progress()
    assert (seen.done, seen.open, seen.fewest_partners) == (3, 3, 0)
    assert len(store.snapshot().judgments) == 6
    assert store.verify() == ()
    work(store, [people[2]], 60.0)
    assert store.progress().open == 0
    store.set_state(people[0], "active", 70.0)
    seen = store.progress()
    assert (seen.done, seen.double_done, seen.open) == (9, 2, 0)  # more than was wanted
    assert store.next_task(people[0], 71.0) is None
    assert store.verify() == ()
    store.dispose()


def test_an_answer_that_does_not_fit_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    store, (first,) = a_round(tmp_path / "s.sqlite", tasks(single=1), people=1)
    store.next_task(first, 1.0)
    before = store.snapshot()
    with pytest.raises(StoreRefusal, match="no response was ranked"):
        answer(store, first, "t0", 2.0, Answer((None, None, None)))
    assert store.snapshot() == before
    store.dispose()
