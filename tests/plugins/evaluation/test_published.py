"""The scorers of SQuAD 2.0, DROP and QuAC, on examples worked out by their authors' rules."""

from __future__ import annotations

import pytest

from preflab_builtin.evaluation.published import (
    drop_exact,
    drop_f1,
    quac_f1,
    quac_human_f1,
    quac_references,
    squad_exact,
    squad_f1,
)


@pytest.mark.parametrize(
    "prediction,references,exact,f1",
    [
        ("The Normans", ["Normans", "the Norman people"], 1.0, 1.0),
        # "in france" against "france": precision 1/2, recall 1: 2 * .5 / 1.5
        ("in France", ["France"], 0.0, 2 / 3),
        ("", [], 1.0, 1.0),  # no answer, and none given
        ("France", [], 0.0, 0.0),  # an answer to a question without one
        ("", ["France"], 0.0, 0.0),
        ("the", ["..."], 1.0, 1.0),  # a reference without words is none; "the" has none either
        ("24–10", ["2410"], 0.0, 0.0),  # a dash that is not ASCII stays, as in the original
        ("1.5", ["15"], 1.0, 1.0),  # a weakness of the rule, which is the rule
    ],
)
def test_squad_2(prediction: str, references: list[str], exact: float, f1: float) -> None:
    assert squad_exact(prediction, references) == exact
    assert squad_f1(prediction, references) == pytest.approx(f1)


@pytest.mark.parametrize(
    "prediction,references,exact,f1",
    [
        ("5", ["5.0"], 1.0, 1.0),  # numbers in one form
        ("1,000", ["1000"], 1.0, 1.0),
        ("5 yards", ["5"], 0.0, 0.67),  # words {5.0, yards} and {5.0}: 2 * .5 / 1.5, rounded
        ("4 yards", ["5 yards"], 0.0, 0.0),  # the reference's number is missing
        ("yards", ["5 yards", "yards"], 1.0, 1.0),  # the best reference
        ("forty-two men", ["42 men", "forty two men"], 1.0, 1.0),  # hyphens separate
        # spans in any order
        ("Lions\nthe Bears", ["Bears\nLions"], 1.0, 1.0),
        # one of two spans: 1 of max(1, 2) = .5
        ("Bears", ["Bears\nLions"], 0.0, 0.5),
        # one span with both: {bears, lions} and {bears}: .67, over two spans .335, rounded
        ("Bears Lions", ["Bears\nLions"], 0.0, 0.33),
        # different words count once
        ("red red car", ["red car"], 0.0, 1.0),
    ],
)
def test_drop(prediction: str, references: list[str], exact: float, f1: float) -> None:
    assert drop_exact(prediction, references) == exact
    assert drop_f1(prediction, references) == pytest.approx(f1)


def test_quac_leaves_one_reference_out_at_a_time() -> None:
    # F1 with the references: 1, 2/3, 0. Left out in turn: best of the others is 2/3, 1, 1.
    references = ["red house", "house", "blue"]
    assert quac_f1("the red house", references) == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert quac_f1("house", ["house"]) == 1.0  # one reference: F1 with it


def test_quac_questions_without_an_answer() -> None:
    assert quac_references(["CANNOTANSWER", "x"]) == ["CANNOTANSWER"]  # half of them
    assert quac_references(["CANNOTANSWER", "x", "y"]) == ["x", "y"]
    assert quac_f1("CANNOTANSWER", ["CANNOTANSWER", "CANNOTANSWER"]) == 1.0
    assert quac_f1("cannot answer", ["CANNOTANSWER"]) == 0.0
    assert quac_f1("", ["x y", "x"]) == 0.0


def test_quac_agreement_of_people() -> None:
    # "red house": best F1 with another 2/3 ("house"); "house": 2/3; "blue": 0
    assert quac_human_f1(["red house", "house", "blue"]) == pytest.approx(4 / 9)
    assert quac_human_f1(["CANNOTANSWER", "x"]) == 1.0
