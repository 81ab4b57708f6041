"""The first paragraph: what came out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from fake_sweep import fifty_runs, one_run
from preflab.interfaces import Measure
from preflab.study import ClaimConfig, Verdict
from preflab_builtin.report.arms import Arm, arms, presented
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.findings import findings
from preflab_builtin.report.gather import gather


def _decision(statement: str, verdict: Verdict, seeds: tuple[int, ...]) -> Decision:
    claim = ClaimConfig(statement=statement, measure="gold/gold", arm="A")
    return Decision(statement, claim, Measure(0.5, 0.25, 0.75, 9), seeds, verdict)


def test_verdicts_are_counted_and_named() -> None:
    decisions = [
        _decision("Up", Verdict.holds, (1, 2)),
        _decision("Down", Verdict.fails, (1, 2)),
        _decision("Left", Verdict.undecided, (1, 2)),
        _decision("Right", Verdict.undecided, (1, 2)),
    ]
    assert findings([], decisions, []) == [
        "Of 4 claims 1 holds, 1 fails and 2 are undecided.",
        "Holds: Up (+0.500).",
        "Fails: Down (+0.500).",
        "Undecided: Left; Right.",
    ]
    assert findings([], decisions[:1], [])[0] == "The claim holds."
    assert findings([], decisions[2:], [])[0] == "Both claims are undecided."


def test_one_seed_decides_nothing_about_others() -> None:
    one = findings([], [_decision("Up", Verdict.holds, (1,))], [])[0]
    assert one.startswith("The claim holds. Each verdict is from one seed")
    assert "says nothing about other seeds" in one
    assert "one seed" not in findings([], [_decision("Up", Verdict.holds, (1, 2))], [])[0]


def test_more_claims_than_one_reads_are_counted() -> None:
    decisions = [_decision(f"C{i}", Verdict.holds, (1, 2)) for i in range(8)]
    assert findings([], decisions, [])[1].endswith("; 2 more.")


def test_without_claims_the_largest_differences(tmp_path: Path) -> None:
    (text,) = findings(presented(arms(gather([fifty_runs(tmp_path)]).runs)), [], [])
    assert text.startswith("Proxy reward is highest for ppo coef=0.01 (")
    assert "and lowest for expert_iteration coef=5.12 (" in text
    assert "their intervals do not overlap" in text
    assert text.endswith("these are the largest differences, and none of them was tested.")


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.5, 0.9), "their intervals overlap"),
        ((0.5, math.nan), "one of them has no interval"),
        ((math.nan, math.nan), "there are no intervals"),
    ],
)
def test_what_the_intervals_of_two_arms_say(ends: tuple[float, float], said: str) -> None:
    """A is 0.5 and B 0.9; where an interval is known it is 0.3 wide on both sides."""
    two = []
    for label, value, end in zip("AB", (0.5, 0.9), ends, strict=True):
        measure = Measure(value, end - 0.3, end + 0.3, 9)
        two.append(Arm(label, (), (), {"reward/proxy": measure}))
    assert f"; {said}. No claim was declared" in findings(two, [], [])[0]


def test_a_single_run_is_described(tmp_path: Path) -> None:
    (text,) = findings(presented(arms(gather([one_run(tmp_path)]).runs)), [], [])
    assert text.startswith("sweep, seed 1: proxy reward ")
    assert "win rate against SFT, judge: held_out, " in text
    assert "; KL to the reference in nats " in text


def test_nothing_to_say() -> None:
    assert findings([], [], []) == ["No job gave a result."]
    arm = Arm("A", (), (), {})
    assert findings([arm], [], []) == ["No run has measured anything (evaluation=none)."]
    same = [Arm(label, (), (), {"reward/proxy": Measure(1.0)}) for label in "AB"]
    assert findings(same, [], []) == ["2 arms were compared; in no measure do they differ."]
