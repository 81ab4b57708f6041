"""What annotation tools write, as plain values."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

from preflab.rows import BadRow
from preflab_builtin.files import annotated
from preflab_builtin.files.annotated import (
    Given,
    answer_fields,
    argilla_order,
    argilla_parts,
    has_ranks,
    person_of,
    ranker_order,
    side,
)

NAMES = ["x", "y", "z"]


@pytest.mark.parametrize(
    "value, control, ranks",
    [
        ({"rank": ["z", "x", "y"]}, "rank", [2, 3, 1]),
        ({"rank_1": ["z", "x", "y"]}, "rank_1", [2, 3, 1]),  # the control's own list is an order
        ({"rank_1": ["z", "x", "y"]}, "rank", [1, 1, 1]),  # all in one bucket: a tie
        ({"rank_10": ["x"], "rank_2": ["z", "y"]}, "rank", [2, 1, 1]),  # 2 before 10
        ({"good": ["y"], "bad": ["x", "z"]}, "rank", [2, 1, 2]),  # without numbers: as in the file
        ({"rank_1": ["y"], "rank_2": [], "rank_3": ["z"], "_": ["x"]}, "rank", [None, 1, 2]),
    ],
)
def test_ranks_of_label_studios_ranker(value: Any, control: str, ranks: list[float | None]) -> None:
    assert ranker_order(value, NAMES, control) == ranks


@pytest.mark.parametrize(
    "value", [None, {"rank": ["x", "y"]}, {"rank": "xyz"}, {"_": NAMES}, {"a": NAMES, "b": ["x"]}]
)
def test_a_ranker_without_every_item_once_is_refused(value: Any) -> None:
    with pytest.raises(BadRow, match="every item once: x, y, z"):
        ranker_order(value, NAMES, "rank")


def test_ranks_of_argilla() -> None:
    ranked = [{"rank": 1, "value": "x"}, {"rank": 2, "value": "y"}, {"rank": 1, "value": "z"}]
    assert argilla_order(ranked, NAMES, "q") == [1, 2, 1]
    assert has_ranks(ranked)
    assert argilla_order(["y", "x", "z"], NAMES, "q") == [2, 1, 3]
    assert not has_ranks(["y", "x", "z"])
    assert argilla_order("Y", NAMES, "q") == [2, 1, 2]
    assert argilla_order(7, NAMES, "q") is None
    assert argilla_order(["y", "x"], NAMES, "q") is None


def test_the_tenth_answer_comes_last() -> None:
    texts = {f"response_{i}": "a" for i in (10, 2, 1)}
    assert list(answer_fields(texts)) == ["response_1", "response_2", "response_10"]


def test_drafts_and_what_was_discarded_are_told_apart() -> None:
    row = {"q.responses": ["a", "b", "c"], "q.responses.users": ["u", "v", "w"]}
    states = {"q.responses.status": ["submitted", "draft", "discarded"]}
    _, given = argilla_parts({**row, **states})
    assert [one.submitted for one in given] == [True, False, False]
    assert argilla_parts(row)[1][0] == Given("u", "q", "a")


def test_who_annotated() -> None:
    assert [person_of(v) for v in (3, {"id": 3, "email": "a@b.org"}, {"id": 3}, None)] == [
        "3",
        "a@b.org",
        "3",
        "",
    ]


def test_a_side() -> None:
    assert [side(v) for v in ("left", "right", None)] == [[1, 2], [2, 1], [1, 1]]
    with pytest.raises(BadRow, match="Allowed: left, right"):
        side("both")


def test_examples() -> None:
    assert doctest.testmod(annotated).failed == 0
