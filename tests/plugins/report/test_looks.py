"""Corrections for repeated looks and for the number of claims: false verdicts of simulated studies
without a difference, and closed forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from preflab.interfaces import Measure
from preflab.study import ClaimConfig, SeedsConfig, StudyConfig, Verdict
from preflab_builtin.report import looks
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.claims import Decision, decide
from preflab_builtin.report.differences import crossed
from preflab_builtin.report.looks import SPENDING, holm, level_of, repeated_p
from preflab_builtin.report.runs import RunResult

LOOKS = (4, 8, 12, 16, 20, 24)


def test_the_first_look_spends_what_its_seeds_are_of_all() -> None:
    # 0.05 * (4 / 24)^1.5 = 0.0034; the last of two looks has at least what is left over, 0.05 -
    # 0.05 * (12 / 24)^1.5 = 0.0323, and less than one look alone would have.
    assert level_of(LOOKS, 0) == pytest.approx(1 - 0.05 * (4 / 24) ** SPENDING)
    assert 0.0323 < 1 - level_of((12, 24), 1) < 0.05
    assert level_of((24,), 0) == 0.95


@pytest.mark.parametrize("looks", [LOOKS, (4, 8, 12), (2, 3, 4, 6)])
def test_false_verdicts_of_one_claim_at_any_look(looks: Sequence[int]) -> None:
    # 20,000 studies without a difference, with other random numbers than the levels are made with:
    # 5 % decide at some look. Three standard errors: 3 * sqrt(.05 * .95 / 20000) = 0.0046.
    values = np.random.default_rng(7).standard_normal((20_000, looks[-1]))
    wrong = np.zeros(len(values), dtype=bool)
    uncorrected = wrong.copy()
    for number, seeds in enumerate(looks):
        have = values[:, :seeds]
        t = np.abs(have.mean(axis=1)) / have.std(axis=1, ddof=1) * math.sqrt(seeds)
        wrong |= t > stats.t.ppf((1 + level_of(looks, number)) / 2, seeds - 1)
        uncorrected |= t > stats.t.ppf(0.975, seeds - 1)
    assert wrong.mean() == pytest.approx(0.05, abs=0.0046)
    assert uncorrected.mean() > 0.09  # what the correction is for


def test_a_look_that_may_spend_less_than_one_simulated_study_has_a_level(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 1,024 studies, 0.0005 (of all p-values) and looks at 2, 3, ... 15 seeds: the second look may
    # spend 0.0005 * ((3 / 15)^1.5 - (2 / 15)^1.5) * 1024 = 0.02 studies. A plan of 80 seeds by ones
    # meets the same with the 262,144 studies.
    monkeypatch.setattr(looks, "SIMULATED", 2**10)
    plan = tuple(range(2, 16))  # of no other test: levels are kept
    found = [level_of(plan, number) for number in range(len(plan))]
    assert all(0.95 < level < 1 for level in found)
    tiny = [repeated_p(p, plan, 1) for p in (0.0, 1e-9, 1e-6, 1e-4, 1e-2, 0.1, 1.0)]
    assert tiny == sorted(tiny)
    assert (tiny[0], tiny[-1]) == (0.0, 1.0)


CLAIMS = {
    "ab": ClaimConfig("A has more m than B", "m", "A", versus="B"),
    "ac": ClaimConfig("A has more m than C", "m", "A", versus="C"),
    "bc": ClaimConfig("B has less n than C", "n", "B", versus="C", more=False),
    "a": ClaimConfig("A is above the curve", "n", "A", frontier=["B", "C"], at="m"),
}


def _arms(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], first: int) -> list[Arm]:
    """Arms A, B, C from values [arm, measure, seed]."""
    found = []
    for label, of_arm in zip("ABC", values, strict=True):
        runs = [
            RunResult(
                Path("none"), "s", label, (), first + i, (), {"m": Measure(m), "n": Measure(n)}
            )
            for i, (m, n) in enumerate(of_arm.T)
        ]
        found.append(Arm(label, (), tuple(runs), {}))
    return found


def test_false_verdicts_of_correlated_claims_in_500_studies() -> None:
    # Three arms without any difference, which share the noise of their seed and of their measures:
    # every claim depends on the others. A study stops at the first look at which all claims are
    # decided. False verdicts at any look: at most 5 % of each claim, and at most 5 % of the
    # studies have any after Holm; three standard errors are 3 * sqrt(.05 * .95 / 500) = 0.029.
    study = StudyConfig(claims=CLAIMS, seeds=SeedsConfig(at_least=4, at_most=12, block=4))
    random = np.random.default_rng(11)
    wrong, any_after_holm = dict.fromkeys(CLAIMS, 0), 0
    for _ in range(500):
        shared = random.standard_normal((1, 1, 12)) + random.standard_normal((3, 1, 12))
        values = shared + random.standard_normal((3, 2, 12))
        at_any: set[str] = set()
        after_holm = False
        for seeds in (4, 8, 12):
            decisions = decide(study, _arms(values[:, :, :seeds], first=1))
            decided = {d.name for d in decisions if d.verdict is not Verdict.undecided}
            at_any |= decided
            after_holm |= any(d.after_holm is not Verdict.undecided for d in decisions)
            if len(decided) == len(CLAIMS):
                break
        wrong = {name: n + (name in at_any) for name, n in wrong.items()}
        any_after_holm += after_holm
    rates = {name: n / 500 for name, n in wrong.items()}
    # The curve is read at A's own m, so that its difference is not quite one of equal arms.
    assert all(rate <= 0.05 + 0.029 for rate in rates.values()), rates
    assert any_after_holm / 500 <= 0.05 + 0.029
    assert sum(rates.values()) > 0.05  # the simulation can find false verdicts


def test_prompts_that_all_looks_share_make_it_no_worse() -> None:
    # The same 20 prompts at every look: the looks depend on each other more than those of seeds
    # alone. Of 300 studies at most 5 % are wrong at some look, within 3 * sqrt(.05 * .95 / 300).
    random, wrong = np.random.default_rng(3), 0
    for _ in range(300):
        seeds, prompts = random.normal(size=(12, 1)), random.normal(size=(1, 20))
        table = seeds + prompts + random.normal(size=(12, 20))
        at = [crossed(table[:n].tolist()).measure(level_of((4, 8, 12), i)) for i, n in _THREE]
        wrong += any(not m.low <= 0 <= m.high for m in at)
    assert wrong / 300 <= 0.05 + 0.038


_THREE = tuple(enumerate((4, 8, 12)))


def _decision(seeds: SeedsConfig | None, first: int) -> Decision:
    """A has 1 more m than B, with noise, in seeds first to first + 3."""
    values = np.zeros((3, 2, 4))
    values[0, 0] = [1.1, 0.9, 1.2, 0.8]
    study = StudyConfig(claims={"ab": CLAIMS["ab"]}, seeds=seeds)
    return decide(study, _arms(values, first))[0]


def test_the_interval_of_the_look_decides_beside_the_plain_one() -> None:
    # Mean 1, sd 0.1826, error 0.0913: t(3, .975) = 3.182 gives 1 -+ 0.291. The first of the looks
    # 4, 8, ... 24 has the level 0.0034: t(3, 1 - .0034 / 2) = 8.52 gives 1 -+ 0.778. Both hold.
    decision = _decision(SeedsConfig(first=5), first=5)
    assert decision.estimate is not None
    assert decision.for_looks is not None
    assert decision.estimate.low == pytest.approx(1 - 0.2905, abs=1e-3)
    assert decision.for_looks.low == pytest.approx(1 - 0.778, abs=2e-3)
    assert decision.verdict is Verdict.holds
    # p of the look alone: t = 10.95 with 3 degrees of freedom, 0.00163. At this look 0.0034 of 0.05
    # may be spent: the p-value for all looks is 0.00163 * 24 = 0.024.
    assert _decision(None, 5).p == pytest.approx(0.00163, abs=1e-5)
    assert decision.p == pytest.approx(0.00163 / (4 / 24) ** SPENDING, rel=0.02)
    demanding = _decision(SeedsConfig(first=5, at_most=100), first=5)
    assert demanding.verdict is Verdict.undecided  # 0.05 * (4 / 100)^1.5: t is 17


@pytest.mark.parametrize(
    "seeds,first",
    [
        (None, 1),
        (SeedsConfig(at_least=4, at_most=4), 1),  # one look
        (SeedsConfig(at_least=2, at_most=8, first=2), 1),  # seed 1 is not planned
        (SeedsConfig(at_least=2, at_most=3, block=1), 1),  # nor is seed 4
    ],
)
def test_without_several_planned_looks_nothing_is_corrected(
    seeds: SeedsConfig | None, first: int
) -> None:
    decision = _decision(seeds, first)
    assert decision.for_looks is None
    assert decision.p == pytest.approx(0.00163, abs=1e-5)


def test_the_p_value_of_all_looks_agrees_with_their_levels() -> None:
    for number in range(len(LOOKS)):
        assert repeated_p(1 - level_of(LOOKS, number), LOOKS, number) == pytest.approx(0.05)
    # The first look has the share (4 / 24)^1.5 of all false verdicts, whatever their number.
    assert repeated_p(1e-6, LOOKS, 0) == pytest.approx(1e-6 / (4 / 24) ** 1.5)
    assert repeated_p(0.9, LOOKS, 0) == 1.0
    assert math.isnan(repeated_p(math.nan, LOOKS, 0))


@pytest.mark.parametrize("plan", [LOOKS, (4, 8, 12), (2, 3, 4, 6)])
def test_a_smaller_p_value_is_smaller_at_all_looks_too(plan: Sequence[int]) -> None:
    # 200 p-values of a look, each 10 % larger than the one before, also about the least alpha of
    # the table, 0.0005: the p-value at all looks goes up each time, and by less than a factor of 2.
    for number in range(len(plan)):
        found = [repeated_p(p, plan, number) for p in np.geomspace(1e-9, 0.2, 200)]
        assert all(a < b < 2 * a for a, b in pairwise(found) if b < 0.5)
        assert found == sorted(found)


def test_holm_is_what_statsmodels_gives() -> None:
    # statsmodels.stats.multitest.multipletests([.01, .04, .03, .005], method="holm"): the smallest
    # times 4, then 3 * .01, 2 * .03, and not less than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    corrected = holm([0.01, math.nan, 0.02])
    assert (corrected[0], corrected[2]) == (0.02, 0.02)  # a claim without an interval is no test
    assert math.isnan(corrected[1])
