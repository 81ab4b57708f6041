"""New people are tried out before their judgments count."""

from __future__ import annotations

from pathlib import Path

import pytest

from people.store.rounds import a_round, answer, tasks
from preflab_people.judgments import Answer, Task
from preflab_people.store import Screening, Store, StoreRefusal
from preflab_people.store.records import Try
from preflab_people.store.screening import judge_try

PROMPT = tasks(single=1)[0].prompt


def _task(expected: Answer) -> Task:
    return Task("s", "rank", PROMPT, ("a", "b", "c"), origin="screening", expected=expected)


def test_a_try_by_hand() -> None:
    # Strict pairs of the researcher: first before second, first before third (the others tie).
    # The person: 1 < 2 right, 1 and 3 tied: 1.5 of 2.
    pairs = judge_try([(_task(Answer((1, 2, 2))), Answer((1, 2, 1)))], cut=0.75)
    assert pairs == Try(0.75, None, True)
    # Flags: the researcher set rude (1st) and untrue (2nd), the person rude (1st) and rude (3rd):
    # one of three is shared. Ranks: 3 of 3.
    expected = Answer((1, 2, 3), flags=(("rude",), ("untrue",), ()))
    given = Answer((1, 2, 3), flags=(("rude",), (), ("rude",)))
    assert judge_try([(_task(expected), given)], cut=0.3) == Try(1.0, 1 / 3, True)
    assert not judge_try([(_task(expected), given)], cut=0.5).passed
    # Without flags of theirs the person shares none; a skipped task has no pair right.
    assert judge_try([(_task(expected), Answer((1, 2, 3)))], 0.5) == Try(1.0, 0.0, False)
    skipped = judge_try([(_task(Answer((1, 2, 3))), Answer(skipped="unclear"))], cut=0.5)
    assert skipped == Try(0.0, None, False)
    # Nothing to compare with: somebody must decide.
    assert judge_try([(_task(Answer(written="x")), Answer((1, 2, 3)))], 0.5) == Try(
        None, None, False
    )


def _round(path: Path | str, screening_tasks: int = 6) -> tuple[Store, str]:
    content = [*tasks(single=5), *tasks(single=screening_tasks, origin="screening", prefix="s")]
    store, _ = a_round(path, content, screening=Screening(tasks=3, cut=0.75, tries=2))
    return store, store.invite(now=0.0).labeler


def _try(store: Store, labeler: str, said: Answer, start: float) -> list[str]:
    """Answer until the next task is a normal one or there is none."""
    seen = []
    while (given := store.next_task(labeler, start)) and given.task.origin == "screening":
        seen.append(given.task.id)
        answer(store, labeler, given.task.id, start, said)
        start += 1.0
        if len(seen) == 3:
            break
    return seen


def test_who_agrees_with_the_researcher_may_work(place: str) -> None:
    store, labeler = _round(place)
    assert store.person(labeler).state == "screening"
    assert _try(store, labeler, Answer((1, 2, 3)), 1.0) == ["s0", "s1", "s2"]
    assert store.person(labeler).state == "active"
    assert store.member(labeler).tries == (Try(1.0, None, True),)
    given = store.next_task(labeler, 10.0)
    assert given is not None
    assert given.task.origin == "normal"
    for act in (lambda: store.undo(labeler, 11.0), lambda: answer(store, labeler, "s0", 11.0)):
        with pytest.raises(StoreRefusal) as refused:
            act()
        assert refused.value.code == "screened"
    assert store.progress().done == 0
    assert store.verify() == ()
    store.dispose()


def test_two_tries_and_then_a_person_decides(tmp_path: Path) -> None:
    store, labeler = _round(tmp_path / "s.sqlite")
    assert _try(store, labeler, Answer((3, 2, 1)), 1.0) == ["s0", "s1", "s2"]
    member = store.member(labeler)
    assert (member.person.state, member.tries, member.waits) == (
        "screening",
        (Try(0.0, None, False),),
        False,
    )
    assert _try(store, labeler, Answer((3, 2, 1)), 10.0) == ["s3", "s4", "s5"]
    assert store.next_task(labeler, 20.0) is None
    assert store.member(labeler).waits
    assert store.progress().active == 0
    store.set_state(labeler, "active", 21.0)
    assert not store.member(labeler).waits
    given = store.next_task(labeler, 22.0)
    assert given is not None
    assert given.task.origin == "normal"
    store.dispose()


def test_an_answer_may_be_corrected_before_the_try_is_over(tmp_path: Path) -> None:
    store, labeler = _round(tmp_path / "s.sqlite")
    for number in range(2):
        given = store.next_task(labeler, float(number))
        assert given is not None
        answer(store, labeler, given.task.id, float(number), Answer((3, 2, 1)))
    assert store.undo(labeler, 5.0).task.id == "s1"
    answer(store, labeler, "s0", 6.0)
    assert _try(store, labeler, Answer((1, 2, 3)), 7.0) == ["s1", "s2"]
    assert store.member(labeler).tries == (Try(1.0, None, True),)
    store.dispose()


def test_when_screening_tasks_run_out_a_person_decides(tmp_path: Path) -> None:
    store, labeler = _round(tmp_path / "s.sqlite", screening_tasks=3)
    assert store.settings.screening == Screening(tasks=3, cut=0.75, tries=1)
    _try(store, labeler, Answer((3, 2, 1)), 1.0)
    assert store.next_task(labeler, 10.0) is None
    assert store.member(labeler).waits
    store.dispose()


def test_held_out_people_and_those_screened_elsewhere_are_not_tried(tmp_path: Path) -> None:
    store, _ = _round(tmp_path / "s.sqlite")
    held_out = store.invite(held_out=True, now=1.0).labeler
    screened = store.invite(screened=True, now=1.0).labeler
    for labeler in (held_out, screened):
        given = store.next_task(labeler, 2.0)
        assert given is not None
        assert given.task.origin == "normal"
    assert store.person(held_out).held_out
    store.dispose()
