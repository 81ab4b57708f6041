"""The picture of a study's claims."""

from __future__ import annotations

import pytest

from preflab.interfaces import Measure
from preflab.study import ClaimConfig, Verdict
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.pictures.verdicts import place, verdicts_svg


def _decision(value: float, half: float, more: bool = True, margin: float = 0.0) -> Decision:
    claim = ClaimConfig("statement", "g", "A", "B", more=more, margin=margin)
    interval = Measure(value, value - half, value + half, 4)
    return Decision("some_name", claim, interval, (1, 2), Verdict.holds)


@pytest.mark.parametrize(
    "decision, expected",
    [
        (_decision(0.3, 0.1), 3.0),  # .3 is three times .1
        (_decision(-0.3, 0.1, more=False), 3.0),  # less is claimed
        (_decision(-0.3, 0.1), -3.0),
        (_decision(0.3, 0.1, margin=0.2), 1.0),  # (.3 - .2) / .1
        (_decision(-0.3, 0.1, more=False, margin=0.2), 1.0),
    ],
)
def test_a_claim_is_decided_beyond_one_half_of_its_interval(
    decision: Decision, expected: float
) -> None:
    assert place(decision) == pytest.approx(expected)


def test_the_interval_for_all_looks_counts_where_there_is_one() -> None:
    plain = _decision(0.3, 0.1)
    looks = Decision(
        plain.name,
        plain.claim,
        plain.estimate,
        (1,),
        Verdict.holds,
        for_looks=Measure(0.3, 0.1, 0.5, 4),
    )
    assert place(looks) == pytest.approx(1.5)  # .3 / .2


def test_claims_without_an_interval_have_no_row() -> None:
    alone = Decision("c", ClaimConfig("statement", "g", "A", "B"), None, (), Verdict.unanswered)
    assert verdicts_svg([alone]) is None
    svg = verdicts_svg([alone, _decision(0.3, 0.1)])
    assert svg is not None
    assert svg.count(b"some name") == 1  # the comment with the text of its one row
