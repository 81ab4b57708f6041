"""Claims: which interval decides them, against numbers made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from preflab.interfaces import Measure
from preflab.study import ClaimConfig, StudyConfig, Verdict
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.claims import Decision, decide
from preflab_builtin.report.runs import RunResult, StageResult


def _arm(label: str, seeds: Mapping[int, Mapping[str, float]]) -> Arm:
    runs = []
    for seed, values in seeds.items():
        measures = {name: Measure(value) for name, value in values.items()}
        runs.append(RunResult(Path("none"), "study", label, (), seed, (), measures))
    return Arm(label, (), tuple(runs), {})


def _decision(claim: ClaimConfig, arms: Sequence[Arm]) -> Decision:
    (decision,) = decide(StudyConfig(claims={"c": claim}), arms)
    return decision


def _interval(decision: Decision) -> tuple[float, float, float]:
    assert decision.estimate is not None
    return decision.estimate.value, decision.estimate.low, decision.estimate.high


@pytest.mark.parametrize(
    "b,expected",
    [
        ((0.61, 0.61, 0.58), Verdict.holds),  # a - b: .19 .20 .21: little noise
        ((0.60, 0.61, 0.59), Verdict.undecided),  # .2 each time: how far it varies is not known
        ((0.98, 1.02, 1.01), Verdict.fails),  # about -.2
        ((0.90, 0.60, 0.90), Verdict.undecided),  # -.1, .2, -.1
    ],
)
def test_a_claim_is_decided_by_its_interval_alone(b: tuple[float, ...], expected: Verdict) -> None:
    a = (0.80, 0.81, 0.79)
    first = _arm("A", {s: {"m": v} for s, v in zip((1, 2, 3), a, strict=True)})
    second = _arm("B", {s: {"m": v} for s, v in zip((3, 2, 1), reversed(b), strict=True)})
    decided = _decision(ClaimConfig("A has more", "m", "A", versus="B"), [first, second])
    assert decided.verdict is expected
    absent = _decision(ClaimConfig("?", "m", "A", versus="C"), [first, second])
    assert (absent.verdict, absent.why) == (Verdict.unanswered, "no finished run of the arm C")


def test_equal_differences_do_not_make_a_claim_certain() -> None:
    # .4 in both seeds, and no seed has an interval of its own.
    a = _arm("A", {1: {"m": 0.5}, 2: {"m": 0.5}})
    b = _arm("B", {1: {"m": 0.1}, 2: {"m": 0.1}})
    decision = _decision(ClaimConfig("A has more", "m", "A", versus="B"), [a, b])
    assert (decision.verdict, decision.has_interval) == (Verdict.undecided, False)
    assert decision.why == "equal values give this measure no interval"


def test_the_overrides_that_name_an_arm_may_have_any_order() -> None:
    a = _arm("width=64 algorithm=ppo", {1: {"m": 0.5}, 2: {"m": 0.51}})
    b = _arm("width=64 algorithm=none", {1: {"m": 0.1}, 2: {"m": 0.1}})
    claim = ClaimConfig(
        "PPO has more", "m", "algorithm=ppo width=64", versus="algorithm=none width=64"
    )
    decision = _decision(claim, [a, b])
    assert (decision.verdict, decision.why) == (Verdict.holds, "")


def test_a_curve_is_read_where_it_has_the_arms_reward() -> None:
    # The curve runs through (reward, tax) = (0, .9) and (1, .5). At reward .5 it has .7: the
    # arm's .8 is .1 above. At reward 2 its nearest end counts, .5: .602 is .102 above. The mean is
    # .101, the half-width 12.7 * .001 = .0127.
    curve = [
        _arm(n, {s: {"r": r, "t": t} for s in (1, 2)})
        for n, r, t in (("lo", 0.0, 0.9), ("hi", 1.0, 0.5))
    ]
    own = _arm("own", {1: {"r": 0.5, "t": 0.8}, 2: {"r": 2.0, "t": 0.602}})
    claim = ClaimConfig("own is above the curve", "t", "own", frontier=["hi", "lo"], at="r")
    decision = _decision(claim, [own, *curve])
    assert _interval(decision)[0] == pytest.approx(0.101)
    assert decision.verdict is Verdict.holds
    assert decision.why == (
        "seed 2: r 2.000 is outside the curve (0.000 to 1.000), whose nearest end counts"
    )


def _judged(
    folder: Path, label: str, seed: int, cases: Mapping[str, float], measure: Measure
) -> RunResult:
    """A run whose measure m has one value per question."""
    place = folder / f"{label}-{seed}"
    place.mkdir(parents=True)
    (place / "cases.jsonl").write_text(json.dumps({"measure": "m", "values": cases}) + "\n")
    stage = StageResult("evaluation", "suite", f"{label}{seed}", seed, place, False, 1.0)
    return RunResult(place, "study", label, (), seed, (stage,), {"m": measure})


def test_claims_are_paired_by_question_where_they_can_be(tmp_path: Path) -> None:
    # One seed, ten questions: A answers 8, B the first 2 of these 8. Differences: six of 1 and
    # four of 0. Mean .6, sd sqrt(10 / 9 * .24) = .5164, t(9, .975) = 2.262: half-width 2.262 *
    # .5164 / sqrt(10) = .3694.
    arms = []
    for label, right in (("A", 8), ("B", 2)):
        cases = {f"q{i}": float(i < right) for i in range(10)}
        run = _judged(tmp_path, label, 1, cases, Measure(right / 10))
        arms.append(Arm(label, (), (run,), {}))
    decision = _decision(ClaimConfig("A knows more", "m", "A", versus="B"), arms)
    assert decision.estimate is not None
    assert decision.estimate.n == 10
    assert _interval(decision) == pytest.approx((0.6, 0.6 - 0.3694, 0.6 + 0.3694), abs=1e-3)
    assert decision.verdict is Verdict.holds


def test_sides_that_do_not_vary_are_not_certain(tmp_path: Path) -> None:
    # Both arms answer everything, in both seeds: the difference is 0 in each. Within a run the
    # interval is .9 to 1 for A and .8 to 1 for B: 0 - sqrt(.1^2 + 0^2) to 0 + sqrt(0^2 + .2^2).
    cases = {f"q{i}": 1.0 for i in range(8)}
    arms = []
    for label, low in (("A", 0.9), ("B", 0.8)):
        measure = Measure(1.0, low, 1.0, 8)
        runs = tuple(_judged(tmp_path, label, seed, cases, measure) for seed in (1, 2))
        arms.append(Arm(label, (), runs, {}))
    between = _decision(
        ClaimConfig("A knows more, by .15", "m", "A", versus="B", margin=0.15), arms
    )
    assert _interval(between) == pytest.approx((0.0, -0.1, 0.2))
    assert between.verdict is Verdict.undecided  # an interval of width zero would have said: fails
    alone = _decision(ClaimConfig("A knows", "m", "A"), arms)
    assert _interval(alone)[1:] == pytest.approx((0.9, 1.0))


def test_a_series_is_the_mean_of_its_arms_within_a_seed() -> None:
    # Means over the two arms, seeds 1, 2, 3: (.1 + .3) / 2 = .2, (.2 + .22) / 2 = .21, (.3 + .14)
    # / 2 = .22: sd .01, half-width 4.303 * .01 / sqrt(3) = .0248. Each arm by itself goes from .1
    # or so to .3.
    first = _arm("k=0", {1: {"gap": 0.1}, 2: {"gap": 0.2}, 3: {"gap": 0.3}})
    second = _arm("k=1", {1: {"gap": 0.3}, 2: {"gap": 0.22}, 3: {"gap": 0.14}, 4: {"gap": 9.0}})
    claims = {
        "all": ClaimConfig("there is a gap", "gap", "folds"),  # compared with zero
        "one": ClaimConfig("there is one at 0", "gap", "k=0"),
    }
    study = StudyConfig(claims=claims, series={"folds": ["k=0", "k=1"]})
    pooled, alone = decide(study, [first, second])
    assert _interval(pooled) == pytest.approx((0.21, 0.1852, 0.2348), abs=1e-4)
    assert (pooled.verdict, pooled.seeds) == (Verdict.holds, (1, 2, 3))  # seed 4 has one arm only
    # alone: mean .2, sd .1, half-width 4.303 * .1 / sqrt(3) = .248: zero is inside
    assert alone.verdict is Verdict.undecided


def test_seeds_that_lack_the_measure_are_named_and_not_listed() -> None:
    a = _arm("A", {1: {"m": 0.5}, 2: {"m": 0.51}, 3: {}, 4: {"m": 0.5}})
    b = _arm("B", {1: {"m": 0.1}, 2: {"m": 0.1}, 3: {"m": 0.1}})
    decision = _decision(ClaimConfig("A has more", "m", "A", versus="B"), [a, b])
    assert (decision.seeds, decision.verdict) == ((1, 2), Verdict.holds)
    assert decision.why == "seed 3 is left out: no m in A; seed 4 is left out: no run of B"
    nothing = _decision(ClaimConfig("A has more", "x", "A", versus="B"), [a, b])
    assert nothing.seeds == ()
    assert "seed 1 is left out: no x in A, no x in B" in nothing.why
