"""Held-out people: what they say of tasks that train something comes on top of what is wanted."""

from __future__ import annotations

from dataclasses import replace

from people.store.rounds import a_round, answer, tasks, work
from preflab_people.judgments import Answer, PersonState, TaskKind
from preflab_people.store import Store


def _with_one_held_out(place: str, kind: TaskKind = "rank") -> tuple[Store, str, str]:
    """Four tasks, two of them for two people; one person, and one who is held out."""
    content = [replace(task, kind=kind) for task in tasks(single=2, double=2)]
    store, (person,) = a_round(place, content, people=1, kind=kind)
    return store, person, store.invite(held_out=True, now=0.0).labeler


def test_they_judge_every_task_and_take_nobodys_place(place: str) -> None:
    store, person, held_out = _with_one_held_out(place)
    work(store, [held_out])
    before = store.progress()
    assert (before.done, before.open, before.begun) == (0, 6, 0)
    seen = store.snapshot()
    assert len({judgment.task for judgment in seen.judgments}) == 4
    # The others still have all to do; one of two people gives one of two judgments.
    work(store, [person], 100.0)
    after = store.progress()
    assert (after.done, after.open) == (4, 2)
    assert (after.parts, after.fewest_partners) == (1, 0)
    assert store.verify() == ()
    store.dispose()


def test_a_full_task_takes_what_they_say_and_a_correction(place: str) -> None:
    store, person, held_out = _with_one_held_out(place)
    given = store.next_task(held_out, 1.0)
    assert given is not None
    other = store.invite(now=1.0).labeler
    work(store, [person, other], 2.0)
    assert store.progress().open == 0
    # Their lease has lapsed, and nothing is open: the answer is kept all the same.
    answer(store, held_out, given.task.id, 1e6)
    answer(store, held_out, given.task.id, 1e6 + 1, Answer((2, 1, 3)))
    back = store.undo(held_out, 1e6 + 2)
    assert back.task.id == given.task.id
    answer(store, held_out, given.task.id, 1e6 + 3, Answer(skipped="unclear"))
    work(store, [held_out], 1e6 + 4)
    assert (store.progress().open, store.progress().skipped) == (0, 0)
    assert store.verify() == ()
    states: tuple[PersonState, ...] = ("removed", "active")
    for state in states:
        store.set_state(held_out, state, 2e6)
        assert (store.progress().open, store.progress().done) == (0, 6)
        assert store.verify() == ()
    store.forget(held_out, 3e6)
    assert (store.progress().open, store.progress().done) == (0, 6)
    assert store.verify() == ()
    store.dispose()


def test_in_a_comparison_they_count_like_anybody(place: str) -> None:
    """Nothing is trained on it."""
    store, _, held_out = _with_one_held_out(place, "compare")
    work(store, [held_out])
    assert (store.progress().done, store.progress().open) == (4, 2)
    assert store.verify() == ()
    store.dispose()


def test_they_do_not_make_the_shares_of_others_smaller(place: str) -> None:
    """Two people and two held-out ones: each of the two judges all tasks of several people."""
    store, people = a_round(place, tasks(single=4, double=4), people=2)
    for _ in range(2):
        store.invite(held_out=True, now=0.0)
    several = {f"t{number}" for number in range(4)}
    for labeler in people:
        work(store, [labeler], 1.0, rounds=4)
    seen = store.snapshot()
    said = {(judgment.labeler, judgment.task) for judgment in seen.judgments}
    assert said == {(labeler, task) for labeler in people for task in several}
    store.dispose()
