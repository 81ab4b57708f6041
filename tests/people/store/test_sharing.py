"""Everybody shares tasks with others, and all can be compared with all."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from people.store.rounds import a_round, answer, tasks, work
from preflab_people.judgments import Answer
from preflab_people.store import Store


def _partners(store: Store) -> dict[str, set[str]]:
    """By person the others who judged a task that they judged too, from the judgments alone."""
    judged: dict[str, set[str]] = {}
    for judgment in store.snapshot().judgments:
        judged.setdefault(judgment.task, set()).add(judgment.labeler)
    found: dict[str, set[str]] = {}
    for together in judged.values():
        for one in together:
            found.setdefault(one, set()).update(together - {one})
    return found


def _work_unevenly(store: Store, people: list[str], seed: int) -> None:
    """People of unlike speed, who come and go, until nothing is left."""
    draw = random.Random(seed)
    pace = {labeler: draw.random() ** 2 + 0.02 for labeler in people}
    now, working = 1.0, list(people)
    while working:
        now += 1.0
        (labeler,) = draw.choices(working, [pace[one] for one in working])
        given = store.next_task(labeler, now)
        if given is None:
            working.remove(labeler)
        else:
            answer(store, labeler, given.task.id, now)


def test_in_turn_everybody_has_three_partners(place: str) -> None:
    store, people = a_round(place, tasks(single=20, double=24), people=8)
    work(store, people)
    found = _partners(store)
    assert min(len(found[one]) for one in people) >= 3
    seen = store.progress()
    assert seen.fewest_partners == min(len(others) for others in found.values())
    assert (seen.parts, seen.connected) == (1, True)
    assert (seen.done, seen.double_done, seen.open) == (20 + 2 * 24, 24, 0)
    assert store.verify() == ()
    store.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_at_any_pace_everybody_has_three_partners(tmp_path: Path, seed: int) -> None:
    store, people = a_round(tmp_path / "store.sqlite", tasks(single=60, double=40), people=8)
    _work_unevenly(store, people, seed)
    seen = store.progress()
    worked = [member for member in seen.people if member.submitted >= 6]
    found = _partners(store)
    assert min(len(found[member.person.id]) for member in worked) >= 3
    assert seen.connected
    assert seen.done == 60 + 2 * 40
    assert store.verify() == ()
    store.dispose()


def test_who_comes_first_leaves_shared_tasks_for_the_others(tmp_path: Path) -> None:
    store, people = a_round(tmp_path / "store.sqlite", tasks(single=30, double=12), people=5)
    now = 1.0
    # One after another, each until their fair share of 24 / 5, rounded up to 5, and a bit more.
    for labeler in people:
        now = work(store, [labeler], now, rounds=7)
    found = _partners(store)
    assert len(found[people[4]]) >= 3
    assert store.progress().connected
    store.dispose()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_few_people_finish_all_the_same(tmp_path: Path, number: int) -> None:
    store, people = a_round(tmp_path / "store.sqlite", tasks(single=3, double=4), people=number)
    work(store, people)
    seen = store.progress()
    # Alone one can give each task one judgment.
    assert seen.done == (3 + 4 if number == 1 else 3 + 8)
    assert (seen.fewest_partners, seen.parts) == (number - 1, 1)
    store.dispose()


def test_people_who_share_nothing_are_told_apart(tmp_path: Path) -> None:
    store, people = a_round(tmp_path / "store.sqlite", tasks(single=4), people=2)
    work(store, people)
    seen = store.progress()
    assert (seen.parts, seen.connected, seen.fewest_partners) == (2, False, 0)
    store.dispose()


def test_a_skip_shares_nothing_and_the_task_goes_to_another(tmp_path: Path) -> None:
    store, people = a_round(tmp_path / "store.sqlite", tasks(double=1), people=3)
    for number, labeler in enumerate(people):
        assert store.next_task(labeler, 1.0 + number) is not None or number == 2
    answer(store, people[0], "t0", 5.0)
    answer(store, people[1], "t0", 6.0, Answer(skipped="broken"))
    assert store.progress().fewest_partners == 0
    assert store.next_task(people[1], 7.0) is None
    work(store, [people[2]], 8.0)
    assert store.progress().fewest_partners == 1
    assert store.verify() == ()
    store.dispose()
