"""Tests of the records of what people are asked and answer."""

from __future__ import annotations

import json

import pytest

from preflab.records import Message, Prompt
from preflab_people.judgments import (
    Answer,
    Judgment,
    Task,
    judgment_from_json,
    judgment_to_json,
    shown_order,
    task_from_json,
    task_id,
    task_to_json,
    texts_digest,
)

PROMPT = Prompt(
    "p1",
    "user: Name a fruit.",
    tags=("open qa",),
    messages=(Message("user", "Name a fruit."),),
    notes={"family": 3},
)


def test_a_judgment_goes_through_json_unchanged() -> None:
    answer = Answer((1, 2, None), (7, None, 1), (("hallucination",), (), ()), "An apple.", "ok")
    judgment = Judgment("t1", "labeler-k3f9", answer, 31.5, (2, 0, 1), 2, "2026-01-01T00:00:00Z", 9)
    assert judgment_from_json(json.loads(json.dumps(judgment_to_json(judgment)))) == judgment


def test_a_task_goes_through_json_unchanged() -> None:
    expected = Answer(ranks=(1, 2))
    task = Task("t1", "compare", PROMPT, ("a", "b"), (("x", "y"), ("z",)), "gold", 2, expected)
    assert task_from_json(json.loads(json.dumps(task_to_json(task)))) == task
    plain = Task("t2", "demonstrate", PROMPT)
    assert task_from_json(json.loads(json.dumps(task_to_json(plain)))) == plain


@pytest.mark.parametrize(
    "ranks, verdict",
    [((1, 2), 1.0), ((2, 1), 0.0), ((1, 1), 0.5), ((1, None), None), ((), None)],
)
def test_a_verdict_tells_a_tie_from_a_pair_that_nobody_judged(
    ranks: tuple[int | None, ...], verdict: float | None
) -> None:
    assert Answer(ranks=ranks).verdict(0, 1) == verdict


def test_the_digest_changes_with_everything_that_a_person_sees() -> None:
    base = texts_digest(PROMPT, ["a", "b"])
    assert base != texts_digest(PROMPT, ["b", "a"])
    other = Prompt("p1", PROMPT.text, messages=(Message("user", "Name a fruit!"),))
    assert base != texts_digest(other, ["a", "b"])
    assert base == texts_digest(Prompt("p1", PROMPT.text, messages=PROMPT.messages), ["a", "b"])


def test_ids_of_tasks_differ_by_kind_origin_and_repetition() -> None:
    ids = {
        task_id("rank", PROMPT, ["a", "b"]),
        task_id("compare", PROMPT, ["a", "b"]),
        task_id("rank", PROMPT, ["a", "b"], "retest"),
        task_id("rank", PROMPT, ["a", "b"], "retest", 2),
    }
    assert len(ids) == 4
    assert not any("retest" in name for name in ids)


def test_every_person_sees_each_distinct_text_once_in_an_order_of_their_own() -> None:
    responses = ["a", "b", "a", "c"]
    orders = {shown_order("round", "t1", f"labeler-{n}", responses) for n in range(60)}
    assert all(sorted(order) == [0, 1, 3] for order in orders)
    # 60 draws from the 3! = 6 orders miss one with a chance of 6 (5/6)^60 = 1e-4.
    assert len(orders) == 6
    assert shown_order("round", "t1", "labeler-1", responses) == shown_order(
        "round", "t1", "labeler-1", responses
    )
