"""Who gets which task: leases, lapses, drafts, gold and retests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from people.store.rounds import LEASE, a_round, answer, tasks, work
from preflab_people.judgments import Answer, Task, task_id
from preflab_people.store import Assignment, Store, StoreRefusal


def _next(store: Store, labeler: str, now: float) -> Assignment:
    given = store.next_task(labeler, now)
    assert given is not None
    return given


def test_a_second_tab_and_a_restart_show_the_same_task_and_draft(place: str) -> None:
    store, (first,) = a_round(place, tasks(single=3), people=1)
    given = _next(store, first, 1.0)
    store.save_draft(first, given.task.id, {"ranks": [1, None]}, 2.0)
    store.save_draft(first, given.task.id, {"ranks": [1, 2]}, 3.0)
    store.dispose()
    with Store.open(place) as again:
        tab = _next(again, first, 4.0)
        assert (tab.task, tab.order) == (given.task, given.order)
        assert tab.draft == {"ranks": [1, 2]}
        assert tab.until == 4.0 + LEASE
        assert again.progress().open == 3  # one lease, not two


def test_a_lease_counts_as_a_judgment_to_come(place: str) -> None:
    store, people = a_round(place, tasks(double=1, single=1), people=4)
    given = [store.next_task(labeler, 1.0) for labeler in people]
    assert Counter(one.task.id for one in given if one) == {"t0": 2, "t1": 1}
    assert given[3] is None
    assert store.verify() == ()
    store.dispose()


def test_a_silent_page_loses_its_task_and_a_renewed_one_does_not(place: str) -> None:
    store, (first, second) = a_round(place, tasks(single=1), people=2)
    _next(store, first, 0.0)
    assert store.renew(first, "t0", 1000.0) == 1000.0 + LEASE
    assert store.next_task(second, LEASE + 1.0) is None
    assert _next(store, second, 1000.0 + LEASE).task.id == "t0"
    assert store.next_task(first, 1001.0 + LEASE) is None
    with pytest.raises(StoreRefusal) as refused:
        store.renew(first, "t0", 1002.0 + LEASE)
    assert refused.value.code == "task_full"
    assert store.verify() == ()
    store.dispose()


def test_a_late_answer_is_kept_if_its_task_still_wants_it(place: str) -> None:
    store, (first, second) = a_round(place, tasks(single=2), people=2)
    _next(store, first, 0.0)
    late = LEASE + 10.0
    assert _next(store, second, late).task.id == "t0"  # taken from the first person
    with pytest.raises(StoreRefusal, match="Others have given all judgments") as refused:
        answer(store, first, "t0", late + 1.0)
    assert refused.value.code == "task_full"
    # The second person falls silent too; the one who comes first is taken, the other refused.
    assert _next(store, first, late + 2.0).task.id == "t1"
    later = late + LEASE + 10.0
    store.next_task(first, later)  # what lapsed is noticed when somebody asks for a task
    answer(store, first, "t0", later + 1.0)
    with pytest.raises(StoreRefusal):
        answer(store, second, "t0", later + 2.0)
    assert [judgment.labeler for judgment in store.snapshot().judgments] == [first]
    assert store.verify() == ()
    store.dispose()


def test_a_draft_of_a_lapsed_task_is_there_again(tmp_path: Path) -> None:
    store, (first, second) = a_round(tmp_path / "s.sqlite", tasks(single=3), people=2)
    for number in range(2):
        answer(store, first, _next(store, first, float(number)).task.id, float(number))
    store.undo(first, 3.0)
    store.save_draft(first, "t1", {"notes": "half"}, 4.0)
    late = LEASE + 10.0
    assert store.next_task(second, late) is not None
    given = _next(store, first, late + 1.0)
    # The other person was given the lowest open task, which was the lapsed one.
    assert given.task.id == "t2"
    with pytest.raises(StoreRefusal):
        store.renew(first, "t1", late + 2.0)
    store.save_draft(first, "t1", {"notes": "kept all the same"}, late + 3.0)
    answer(store, first, "t2", late + 4.0)
    later = late + LEASE + 20.0
    again = _next(store, first, later)
    assert (again.task.id, again.draft) == ("t1", {"notes": "kept all the same"})
    store.dispose()


def test_a_task_that_was_never_given_is_refused(tmp_path: Path) -> None:
    store, (first, second) = a_round(tmp_path / "s.sqlite", tasks(single=2), people=2)
    _next(store, first, 1.0)
    for act in (
        lambda: answer(store, second, "t0", 2.0),
        lambda: store.save_draft(second, "t0", {}, 2.0),
        lambda: store.renew(second, "t0", 2.0),
        lambda: answer(store, first, "no such task", 2.0),
    ):
        with pytest.raises(StoreRefusal) as refused:
            act()
        assert refused.value.code == "not_yours"
    store.dispose()


def test_nobody_gets_a_task_twice(tmp_path: Path) -> None:
    store, people = a_round(tmp_path / "s.sqlite", tasks(single=4, double=4), people=3)
    work(store, people)
    pairs = [(j.task, j.labeler) for j in store.snapshot().judgments]
    assert len(pairs) == len(set(pairs)) == 4 + 2 * 4
    store.dispose()


def test_gold_tasks_come_at_their_share_and_once_each(tmp_path: Path) -> None:
    content = [*tasks(single=300), *tasks(single=40, origin="gold", prefix="g")]
    store, (first,) = a_round(tmp_path / "s.sqlite", content, people=1, gold_share=0.1)
    work(store, [first])
    order = [judgment.task for judgment in store.snapshot().judgments]
    gold = [name for name in order if name.startswith("g")]
    # Shares are of all tasks: n gold of 300 + n is a tenth at 33; a draw would have sd 5.8.
    assert 18 <= len(gold) <= 40
    assert len(set(gold)) == len(gold)
    assert store.progress().done == 300  # gold is not part of what is wanted
    assert store.next_task(first, 10_000.0) is None  # no gold for its own sake
    assert store.verify() == ()
    store.dispose()


def test_what_is_due_does_not_depend_on_the_day(tmp_path: Path) -> None:
    orders = []
    for name in ("a", "b"):
        content = [*tasks(single=60), *tasks(single=20, origin="gold", prefix="g")]
        store, (first,) = a_round(tmp_path / name, content, people=1, gold_share=0.2)
        # The same person: pseudonyms are drawn.
        seen = []
        for number in range(60):
            given = store.next_task(first, number * 7.0)
            if given is None:
                break
            seen.append(given.task.origin)
            store.dispose()  # a restart between any two tasks
            store = Store.open(tmp_path / name)
            answer(store, first, given.task.id, number * 7.0 + 1.0)
        orders.append((first, seen))
        store.dispose()
    from preflab_people.store import choice

    for labeler, seen in orders:
        due = [choice.due("spring", labeler, number, 0.2, 0.0) for number in range(len(seen))]
        assert seen == due


def test_retests_repeat_own_earlier_answers_after_enough_others(tmp_path: Path) -> None:
    path, content = tmp_path / "s.sqlite", tasks(single=80)
    store, people = a_round(path, content, people=2, retest_share=0.25, retest_after=5)
    work(store, people)
    seen = store.snapshot()
    by_name = {task.id: task for task in seen.tasks}
    retests = [task for task in seen.tasks if task.origin == "retest"]
    assert retests
    for labeler in people:
        mine = [judgment.task for judgment in seen.judgments if judgment.labeler == labeler]
        repeated = [by_name[name].repeats for name in mine if by_name[name].repeats]
        assert len(set(repeated)) == len(repeated)
        for place, name in enumerate(mine):
            if first := by_name[name].repeats:
                assert place - mine.index(first) > 5
    for task in retests:
        first_time = by_name[task.repeats]
        assert (task.prompt, task.responses) == (first_time.prompt, first_time.responses)
        assert task.id == task_id("rank", task.prompt, task.responses, "retest")
    assert store.progress().done == 80
    assert store.verify() == ()
    store.dispose()


def test_a_skipped_task_is_no_retest(tmp_path: Path) -> None:
    path, content = tmp_path / "s.sqlite", tasks(single=40)
    store, (first,) = a_round(path, content, people=1, retest_share=1.0, retest_after=0)
    given = _next(store, first, 1.0)
    answer(store, first, given.task.id, 2.0, Answer(skipped="unclear"))
    assert _next(store, first, 3.0).task.origin == "normal"
    store.dispose()


def test_paused_and_removed_people_get_no_task(tmp_path: Path) -> None:
    store, (first, second) = a_round(tmp_path / "s.sqlite", tasks(single=1), people=2)
    _next(store, first, 1.0)
    store.set_state(first, "paused", 2.0)
    with pytest.raises(StoreRefusal) as refused:
        store.next_task(first, 3.0)
    assert refused.value.code == "not_active"
    assert store.next_task(second, 3.0) is None  # what a paused person has in hand stays theirs
    store.set_state(first, "removed", 4.0)
    assert _next(store, second, 5.0).task.id == "t0"
    with pytest.raises(StoreRefusal):
        answer(store, first, "t0", 6.0)
    assert store.verify() == ()
    store.dispose()


def test_consent_comes_before_the_first_task_and_again_with_another_text(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store, (first,) = a_round(path, tasks(single=2), 1, consent="We keep it.")
    with pytest.raises(StoreRefusal) as refused:
        store.next_task(first, 1.0)
    assert refused.value.code == "consent_needed"
    store.consent(first, 1, 2.0)
    store.consent(first, 1, 2.0)
    answer(store, first, _next(store, first, 3.0).task.id, 3.0)
    assert store.add_consent("We keep it.", 4.0) == 1  # the same text
    _next(store, first, 5.0)
    assert store.add_consent("We publish it.", 6.0) == 2
    with pytest.raises(StoreRefusal, match="accept the consent text"):
        store.next_task(first, 7.0)
    store.consent(first, 2, 8.0)
    answer(store, first, _next(store, first, 9.0).task.id, 9.0)
    seen = store.snapshot()
    assert [event.kind for event in seen.events].count("consented") == 2
    assert [one.markdown for one in seen.consents] == ["We keep it.", "We publish it."]
    assert [seen.agreed[judgment.event] for judgment in seen.judgments] == [1, 2]
    assert store.verify() == ()
    store.dispose()
    with Store.open(path) as again:
        assert again.consent_text().version == 2


def test_after_the_clock_was_set_back_leases_begin_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    day = 86_400.0
    store, (first, second) = a_round(tmp_path / "s.sqlite", tasks(single=2), people=2)
    _next(store, first, 10 * day)
    answer(store, first, "t0", 10 * day + 5.0)
    _next(store, first, 10 * day + 6.0)
    back = 9 * day
    assert store.next_task(second, back) is None
    assert store.next_task(second, back + LEASE - 1.0) is None
    given = _next(store, second, back + LEASE)  # not a day later
    answer(store, second, given.task.id, back + LEASE + 1.0)
    assert [r.getMessage().split(" seconds")[0] for r in caplog.records] == [
        # From 10 days and 5 s to 9 days and 1801 s.
        "The clock was set back by 84604"
    ]
    seen = store.snapshot()
    assert [judgment.task for judgment in seen.judgments] == ["t0", "t1"]
    assert [event.kind for event in seen.events][-3:] == ["submitted", "clock", "submitted"]
    assert store.verify() == ()
    store.dispose()


def test_a_demonstration_is_not_asked_for_twice(tmp_path: Path) -> None:
    content = [Task(f"t{n}", "demonstrate", tasks(1, prefix=f"p{n}")[0].prompt) for n in range(5)]
    changes = {"kind": "demonstrate", "retest_share": 1.0, "retest_after": 0}
    store, (first,) = a_round(tmp_path / "s.sqlite", content, people=1, **changes)
    while (given := store.next_task(first, 1.0)) is not None:
        answer(store, first, given.task.id, 2.0, Answer(written="A fine text."))
    assert {task.origin for task in store.snapshot().tasks} == {"normal"}
    store.dispose()
