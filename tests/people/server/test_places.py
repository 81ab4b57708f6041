"""Tests of the way from a task to a page and back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from people.server.sites import ranking
from preflab.records import Message, Prompt
from preflab_people.judgments import Answer, shown_order
from preflab_people.server.answers import Refused
from preflab_people.server.places import shown_task, to_places, to_pool
from preflab_people.server.requests import ShownAnswer

TASK = ranking("p", ["a", "b", "a", "c"])  # the first and the third are one text
ORDER = (3, 0, 1)  # shown: c, a, b


def test_an_answer_by_place_is_turned_into_one_by_response() -> None:
    shown = ShownAnswer(
        ranks=(3, 1, 2),
        likert=(2, 7, 5),
        flags=(("rude",), (), ("untrue", "rude")),
        written="better",
        notes="n",
    )
    # c 3, a 1, b 2; in the order of the pool: a, b, a, c
    assert to_pool(shown, TASK, ORDER, rated=True) == Answer(
        ranks=(1, 2, 1, 3),
        likert=(7, 5, 7, 2),
        flags=((), ("untrue", "rude"), (), ("rude",)),
        written="better",
        notes="n",
    )


def test_the_way_back_shows_the_answer_that_was_given() -> None:
    shown = ShownAnswer(ranks=(3, 1, 2), likert=(2, 7, 5), flags=(("rude",), (), ()))
    back = to_places(to_pool(shown, TASK, ORDER, rated=True), ORDER)
    assert (back["ranks"], back["likert"]) == ([3, 1, 2], [2, 7, 5])
    assert back["flags"] == [("rude",), (), ()]


@pytest.mark.parametrize("labeler", ["labeler-a", "labeler-b", "labeler-c"])
def test_every_order_comes_back_as_it_went(labeler: str) -> None:
    order = shown_order("spring", TASK.id, labeler, TASK.responses)
    ranks = tuple("cab".index(TASK.responses[i]) + 1 for i in order)  # c before a before b
    answer = to_pool(ShownAnswer(ranks=ranks), TASK, order, rated=False)
    assert answer.ranks == (2, 3, 2, 1)


def test_the_browser_learns_nothing_but_what_is_judged() -> None:
    prompt = Prompt(
        "secret-id",
        "secret transcript",
        user="secret-user",
        tags=("lang:de", "sensitive", "secret-tag"),
        group="secret-group",
        notes={"secret-note": 1},
        messages=(Message("system", "Be kind."), Message("user", "Hi")),
        place="/secret/place:3",
    )
    arms = (("secret-arm",), ("secret-arm-2",))
    task = replace(
        ranking("p", ["a", "b"], "gold", prompt=prompt),
        kind="compare",
        arms=arms,
        repeats="secret-task",
    )
    shown = shown_task(task, (1, 0), ("sensitive",))
    assert shown == {
        "id": task.id,
        "form": "rank",
        "turns": [{"role": "system", "text": "Be kind."}, {"role": "user", "text": "Hi"}],
        "lang": "de",
        "sensitive": True,
        "outputs": ["b", "a"],
    }
    assert "secret" not in json.dumps(shown)


def test_a_prompt_without_roles_is_one_text() -> None:
    task = ranking("p", ["a", "b"], prompt=Prompt("p", "user: Hi\nassistant:", tags=("lang:<b>",)))
    shown = shown_task(task, (0, 1), ())
    assert shown["turns"] == [{"role": "", "text": "user: Hi\nassistant:"}]
    assert (shown["lang"], shown["sensitive"]) == ("", False)


@pytest.mark.parametrize(
    "shown, rated, code",
    [
        (ShownAnswer(ranks=(1, 2)), False, "count"),
        (ShownAnswer(ranks=(1, 2, 3, 1)), False, "count"),
        (ShownAnswer(ranks=(1, 2, 4)), False, "rank"),  # three texts are shown
        (ShownAnswer(ranks=(1, 2, None)), False, "incomplete"),
        (ShownAnswer(), False, "incomplete"),
        (ShownAnswer(ranks=(1, 2, 3)), True, "incomplete"),
        (ShownAnswer(ranks=(1, 2, 3), likert=(1, None, 3)), True, "incomplete"),
        (ShownAnswer(ranks=(1, 2, 3), flags=((),)), False, "count"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(shown: ShownAnswer, rated: bool, code: str) -> None:
    with pytest.raises(Refused) as refused:
        to_pool(shown, TASK, ORDER, rated)
    assert refused.value.code == code


def test_who_writes_a_better_response_need_not_rank_the_bad_ones() -> None:
    shown = ShownAnswer(ranks=(None, None, None), written="A good one.")
    answer = to_pool(shown, TASK, ORDER, rated=False)
    assert answer == Answer(ranks=(None, None, None, None), written="A good one.")


def test_a_skip_says_why_and_nothing_else() -> None:
    shown = ShownAnswer(ranks=(1, None, None), skipped="unclear", notes="what is meant?")
    assert to_pool(shown, TASK, ORDER, True) == Answer(skipped="unclear", notes="what is meant?")
