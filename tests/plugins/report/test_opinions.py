"""Claims on what people said: about other people too."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from preflab.interfaces import Measure
from preflab.study import ClaimConfig, StudyConfig, Verdict
from preflab.two_way import cells, mean_about_people
from preflab_builtin.power.sources import NO_CASES, sources
from preflab_builtin.report.arms import Arm, combined
from preflab_builtin.report.claims import Decision, decide
from preflab_builtin.report.differences import crossed
from preflab_builtin.report.opinions import ONE_PERSON, crossed_with_people
from preflab_builtin.report.runs import RunResult, StageResult

Said = dict[tuple[str, str], float]
"""Values by prompt and person."""
Place = tuple[int, int, int]


def _run(folder: Path, arm: str, seed: int, said: Said, **more: float) -> RunResult:
    place = folder / f"{arm}-{seed}"
    place.mkdir(parents=True)
    rows = [
        {"measure": "m", "prompt": prompt, "person": person, "value": value, "unit": ""}
        for (prompt, person), value in said.items()
    ]
    (place / "opinions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = StageResult("evaluation", "suite", f"{arm}{seed}", seed, place, False, 1.0)
    by_prompt: dict[str, list[float]] = {}
    for (prompt, _), value in said.items():
        by_prompt.setdefault(prompt, []).append(value)
    mean = float(np.mean([np.mean(some) for some in by_prompt.values()]))
    measures = {"m": Measure(mean, mean - 1, mean + 1, len(by_prompt))}
    measures |= {name: Measure(value) for name, value in more.items()}
    return RunResult(place, "study", arm, (), seed, (stage,), measures)


def _claim(*runs: RunResult, **claim: object) -> Decision:
    """The verdict on a claim about the arm A."""
    arms = [
        Arm(name, (), tuple(run for run in runs if run.arm == name), {})
        for name in dict.fromkeys(run.arm for run in runs)
    ]
    declared = ClaimConfig("A is better", "m", "A", **claim)  # type: ignore[arg-type]
    (found,) = decide(StudyConfig(claims={"x": declared}), arms)
    return found


def _ends(found: Measure | None) -> tuple[float, float, float]:
    assert found is not None
    return found.value, found.low, found.high


Table = tuple[NDArray[np.float64], list[Place]]


def _simulated(seed: int, seeds: int, prompts: int, people: int, taste: float) -> Table:
    """Values of seeds [S, N] whose true mean is 0, and their places: every prompt is judged by two
    people who are drawn. Standard deviations: prompts .5, chance 1, seeds .2 if there are several.
    """
    random = np.random.default_rng(seed)
    drawn = [(p, k) for p in range(prompts) for k in random.permutation(people)[:2].tolist()]
    p, k = (np.array(part) for part in zip(*drawn, strict=True))
    of_seed = random.normal(0, 0.2, (seeds, 1)) if seeds > 1 else 0.0
    of_prompt, of_person = random.normal(0, 0.5, prompts)[p], random.normal(0, taste, people)[k]
    chance = random.normal(0, 1, (seeds, len(p)))
    return of_seed + of_prompt + of_person + chance, [(a, b, a) for a, b in drawn]


def _by_prompt(
    values: NDArray[np.float64], places: Sequence[tuple[int, int, int]]
) -> list[list[float]]:
    """What claims saw before: the mean of each prompt's people."""
    prompts = np.array([p for p, *_ in places])
    count = np.bincount(prompts)
    return [(np.bincount(prompts, row) / count).tolist() for row in values]


def _coverage(rounds: int, seeds: int, people: int, taste: float = 0.3) -> tuple[float, float]:
    """How often the interval has the truth, and how often one about prompts and seeds alone has."""
    hits = np.zeros(2)
    for seed in range(rounds):
        values, places = _simulated(seed, seeds, 60, people, taste)
        found = [crossed_with_people(values, places), crossed(_by_prompt(values, places))]
        hits += [one.measure().low <= 0 <= one.measure().high for one in found]
    new, old = hits / rounds
    return float(new), float(old)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "people"), [(1, 5), (3, 5)])
def test_claims_cover_the_truth_where_people_differ(seeds: int, people: int) -> None:
    """The short form: 92 % gives less than `least` but once in ten thousand times. Intervals about
    prompts and seeds alone have the truth in 70 to 92 %."""
    new, old = _coverage(60, seeds, people)
    assert new >= float(stats.binom.ppf(1e-4, 60, 0.92)) / 60
    assert old < new


@pytest.mark.label
@pytest.mark.parametrize(("seeds", "people"), [(1, 3), (1, 5), (1, 20), (3, 5), (5, 5), (5, 20)])
def test_claims_cover_the_truth_in_600_rounds(seeds: int, people: int) -> None:
    new, old = _coverage(600, seeds, people)
    print(f"{seeds} seeds, {people} people: {new:.3f}, without people {old:.3f}")
    assert 0.92 <= new <= 0.98
    if people <= 5:
        assert old < 0.9


def test_one_seed_has_the_interval_that_the_run_has() -> None:
    """The order in which prompts and people are named does not matter."""
    values, places = _simulated(7, 1, 12, 4, 1.0)
    prompts, people, _ = zip(*places, strict=True)
    expected = mean_about_people(cells(values[0].tolist(), prompts, people), -9.0, 9.0)
    order = np.random.default_rng(0).permutation(len(places))
    found = crossed_with_people(values[:, order], [places[i] for i in order]).measure()
    assert _ends(found) == pytest.approx(_ends(expected))


def test_where_people_do_not_differ_it_is_that_of_prompts_and_seeds() -> None:
    """All three people give every prompt the value 0.1, 0.4, ... in a seed: two seeds, as `crossed`
    has it of one value for each prompt."""
    rows = np.array([[0.1, 0.4, -0.2, 0.3, 0.9, 0.2], [0.3, 0.2, 0.1, 0.9, 0.8, 0.4]])
    places = [(p, k, p) for p in range(6) for k in range(3)]
    found = crossed_with_people(np.repeat(rows, 3, axis=1), places)
    expected = crossed(rows.tolist())
    assert _ends(found.measure()) == pytest.approx(_ends(expected.measure()))
    assert found.freedom == pytest.approx(expected.freedom)


def test_more_seeds_do_not_lessen_the_part_of_people() -> None:
    """Three people whose values are 0, 3 and 6 on all 40 prompts, whatever the seed: Student's t of
    three values, sqrt(9 / 3), for one seed and for ten."""
    places = [(p, k, p) for p in range(40) for k in range(3)]
    half = stats.t.ppf(0.975, 2) * math.sqrt(3)
    for seeds in (1, 10):
        values = np.array([[3.0 * k for _, k, _ in places]] * seeds)
        values += np.random.default_rng(0).normal(0, 1e-3, values.shape)
        found = crossed_with_people(values, places).measure()
        assert _ends(found) == pytest.approx((3.0, 3.0 - half, 3.0 + half), rel=1e-2)


def _said(
    people: Mapping[str, float], prompts: int = 12, noise: int = 0
) -> dict[tuple[str, str], float]:
    """Every person gives every prompt the own value, with a little chance."""
    random = np.random.default_rng(noise)
    return {
        (f"p{i}", person): value + 0.01 * float(random.normal())
        for i in range(prompts)
        for person, value in people.items()
    }


def test_a_claim_is_paired_by_prompt_and_person(tmp_path: Path) -> None:
    """People are as strict as they are: 1, 4 and 7 for B, each 2 more for A. Each person's
    difference is 2, so that it is as certain as chance lets it be."""
    strict = {"a": 1.0, "b": 4.0, "c": 7.0}
    mild = {person: value + 2 for person, value in strict.items()}
    runs = _run(tmp_path, "A", 1, _said(mild, noise=1)), _run(tmp_path, "B", 1, _said(strict))
    found = _claim(*runs, versus="B")
    value, low, high = _ends(found.estimate)
    assert value == pytest.approx(2, abs=0.01)
    assert 1.95 < low < high < 2.05
    assert found.verdict is Verdict.holds
    assert found.difference is not None
    assert (found.difference.persons, found.difference.n) == (3, 12)
    # Other people for each arm: nothing is paired, and people differ by 3 from each other.
    other = _run(tmp_path / "other", "B", 1, _said({"d": 1.0, "e": 4.0, "f": 7.0}))
    apart = _claim(runs[0], other, versus="B")
    assert apart.estimate is not None
    assert apart.estimate.high - apart.estimate.low > 2 * stats.t.ppf(0.975, 4) * math.sqrt(6)
    assert apart.verdict is Verdict.undecided


def test_one_person_decides_nothing(tmp_path: Path) -> None:
    runs = [
        _run(tmp_path, arm, seed, _said({"a": value}, noise=seed))
        for arm, value in (("A", 5.0), ("B", 1.0))
        for seed in (1, 2, 3)
    ]
    found = _claim(*runs, versus="B")
    assert found.verdict is Verdict.undecided
    assert found.why == ONE_PERSON
    assert not found.has_interval
    assert math.isnan(combined(runs[:3])["m"].low)


def test_seeds_of_several_rounds_may_have_the_same_people(tmp_path: Path) -> None:
    """Each seed has a round of its own, in which the same three people, who say 0, 3 and 6, have
    other pseudonyms. As for one seed: Student's t of three values, at the least."""
    runs = [
        _run(tmp_path, "A", seed, _said({f"{seed}{k}": 3.0 * k for k in range(3)}, noise=seed))
        for seed in range(6)
    ]
    found = _claim(*runs)
    assert found.estimate is not None
    width = found.estimate.high - found.estimate.low
    assert width >= 0.99 * 2 * stats.t.ppf(0.975, 2) * math.sqrt(3)
    arm = combined(runs)["m"]
    assert _ends(arm) == pytest.approx(_ends(found.estimate))
    assert arm.n == 6


def test_a_claim_about_a_curve_is_about_people_too(tmp_path: Path) -> None:
    """A at r = 0.5 between B at 0 and C at 1, which have 1 and 3 of everybody: 2. A has 2, 5 and 8
    of its people: 3 more, by Student's t of 0, 3 and 6."""
    strict = {"a": 0.0, "b": 3.0, "c": 6.0}
    arms = {
        "A": (_said({person: 2 + value for person, value in strict.items()}, 40), 0.5),
        "B": (_said(dict.fromkeys(strict, 1.0), 40), 0.0),
        "C": (_said(dict.fromkeys(strict, 3.0), 40), 1.0),
    }
    runs = [_run(tmp_path, name, 1, said, r=r) for name, (said, r) in arms.items()]
    found = _claim(*runs, frontier=["B", "C"], at="r")
    half = stats.t.ppf(0.975, 2) * math.sqrt(3)
    assert _ends(found.estimate) == pytest.approx((3.0, 3 - half, 3 + half), rel=0.02)
    assert found.verdict is Verdict.undecided


def test_a_curve_through_runs_of_several_rounds_has_no_more_people(tmp_path: Path) -> None:
    """Each run has a round of its own, in which the same three people, who say 0, 3 and 6, have
    other pseudonyms. A mean has the variance 9 / 3, and the middle of B and C is no more certain
    than one of them: 3 + 3, and not 3 + 3 / 4 + 3 / 4."""
    runs = [
        _run(tmp_path, arm, 1, _said({f"{arm}{k}": 3.0 * k for k in range(3)}, 40, noise), r=r)
        for noise, (arm, r) in enumerate({"A": 0.5, "B": 0.0, "C": 1.0}.items())
    ]
    found = _claim(*runs, frontier=["B", "C"], at="r")
    assert found.difference is not None
    assert found.difference.below == pytest.approx(math.sqrt(6), rel=0.01)
    assert found.difference.gaps.people is not None
    assert found.difference.gaps.people.people == pytest.approx(6, rel=0.01)


def test_power_knows_the_part_of_people(tmp_path: Path) -> None:
    """Parts of the variance add up to the squared error, and people's are those of three values 0,
    3 and 6: 9 / 3. No number of seeds goes below it."""
    values = {"a": 0.0, "b": 3.0, "c": 6.0}
    runs = [_run(tmp_path, "A", seed, _said(values, 40, noise=seed)) for seed in range(4)]
    decision = _claim(*runs)
    found = sources(decision)
    assert found is not None
    assert decision.difference is not None
    assert found.error(4) == pytest.approx((decision.difference.below, decision.difference.freedom))
    parts = found.of_the_mean()
    assert parts["people"] == pytest.approx(3.0, rel=0.01)
    assert sum(parts.values()) == pytest.approx(decision.difference.below**2, rel=0.01)
    assert found.error(1000)[0] == pytest.approx(math.sqrt(3), rel=0.01)
    assert NO_CASES not in found.unknown
