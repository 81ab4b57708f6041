"""Drafts: one a person and task, and none after the answer."""

from __future__ import annotations

from pathlib import Path

from people.store.rounds import a_round, answer, tasks


def test_a_draft_that_arrives_after_the_answer_is_dropped(tmp_path: Path) -> None:
    store, (first,) = a_round(tmp_path / "store.sqlite", tasks(single=2), people=1)
    store.next_task(first, 1.0)
    answer(store, first, "t0", 2.0)
    store.save_draft(first, "t0", {"notes": "late"}, 3.0)
    assert store.assigned(first, "t0").draft is None
    back = store.undo(first, 4.0)
    assert back.draft is None
    store.save_draft(first, "t0", {"notes": "again"}, 5.0)
    assert store.assigned(first, "t0").draft == {"notes": "again"}
    store.dispose()


def test_a_draft_keeps_any_text(place: str) -> None:
    store, (first,) = a_round(place, tasks(single=1), people=1)
    store.next_task(first, 1.0)
    said = {"notes": "\u202e \x00 \ud800 \U0001f600 'quoted'; DROP TABLE drafts", "n": [1, None]}
    store.save_draft(first, "t0", said, 2.0)
    assert store.assigned(first, "t0").draft == said
    store.dispose()
