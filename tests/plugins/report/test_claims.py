"""Claims: which interval decides them, against closed forms and hand-made numbers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from preflab.study import ClaimConfig, StudyConfig
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.build import build_report, joined
from preflab_builtin.report.claims import Verdict, crossed, decide, over_seeds
from preflab_builtin.report.runs import Measured, RunResult, StageRow


def arm(folder: Path, label: str, seeds: Mapping[int, Mapping[str, float]]) -> Arm:
    runs = []
    for seed, values in seeds.items():
        measures = {name: Measured(value) for name, value in values.items()}
        runs.append(RunResult(folder / f"{label}-{seed}", "study", label, (), seed, (), measures))
    return Arm(label, (), tuple(runs), {})


def test_over_seeds_is_students_t() -> None:
    # 1, 2, 3: mean 2, standard deviation 1, t(0.975, 2) = 4.303; half-width 4.303 / sqrt(3) = 2.484
    found = over_seeds([1.0, 2.0, 3.0])
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert (found.value, found.low, found.high) == pytest.approx(
        (2.0, 2.0 - 2.4841, 2.0 + 2.4841), abs=1e-3
    )
    assert over_seeds([5.0]) == Measured(5.0)  # one seed says nothing of others
    assert over_seeds([]) is None


def test_one_seed_is_the_t_interval_over_prompts() -> None:
    values = [0.1, 0.4, -0.2, 0.3, 0.9]
    found = crossed([values])
    half = stats.t.ppf(0.975, 4) * np.std(values, ddof=1) / math.sqrt(5)
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.3 - half, 0.3 + half))


def test_seeds_that_agree_leave_the_variance_of_prompts_only() -> None:
    # Three equal rows are one row three times: no more is known of other prompts than from one seed.
    values = [0.1, 0.4, -0.2, 0.3, 0.9]
    one, three = crossed([values]), crossed([values] * 3)
    assert (three.low, three.high) == pytest.approx((one.low, one.high))


def test_prompts_that_agree_leave_the_variance_of_seeds_only() -> None:
    # Every prompt says 1, 2, 3 by seed: the interval is Student's t over the three seeds, however many prompts there are.
    found, seeds = crossed([[1.0] * 50, [2.0] * 50, [3.0] * 50]), over_seeds([1.0, 2.0, 3.0])
    assert seeds is not None
    assert (found.low, found.high) == pytest.approx((seeds.low, seeds.high), abs=1e-6)


def test_the_crossed_interval_covers_what_it_says() -> None:
    # 400 tables of 3 seeds and 40 prompts whose true mean is 0: seeds sd 0.3, prompts sd 0.5, rest sd 1. Of 400 intervals
    # 95 % cover 0 on average; three standard errors of that share are 3 * sqrt(.95 * .05 / 400) = 0.033.
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        table = (
            0.3 * rng.normal(size=(3, 1))
            + 0.5 * rng.normal(size=(1, 40))
            + rng.normal(size=(3, 40))
        )
        found = crossed(table.tolist())
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert covered / 400 > 0.95 - 0.033


@pytest.mark.parametrize(
    "b,expected",
    [
        ((0.60, 0.61, 0.59), Verdict.holds),  # a - b: .20 .20 .20 and little noise
        ((0.98, 1.02, 1.01), Verdict.fails),  # about -.2
        ((0.90, 0.60, 0.90), Verdict.undecided),  # -.1, .2, -.1
    ],
)
def test_a_claim_is_decided_by_its_interval_alone(
    tmp_path: Path, b: tuple[float, ...], expected: Verdict
) -> None:
    first = arm(
        tmp_path, "A", {s: {"m": v} for s, v in zip((1, 2, 3), (0.80, 0.81, 0.79), strict=True)}
    )
    second = arm(tmp_path, "B", {s: {"m": v} for s, v in zip((3, 2, 1), reversed(b), strict=True)})
    study = StudyConfig(
        claims={
            "c": ClaimConfig("A has more", "m", "A", versus="B"),
            "no": ClaimConfig("?", "m", "A", versus="C"),
        }
    )
    decided, absent = decide(study, [first, second])
    assert decided.verdict is expected
    assert (absent.verdict, absent.why) == (Verdict.undecided, "no finished run of the arm C")


def test_an_arm_of_overrides_is_named_in_whatever_order(tmp_path: Path) -> None:
    a = arm(tmp_path, "width=64 algorithm=ppo", {1: {"m": 0.5}, 2: {"m": 0.5}})
    b = arm(tmp_path, "width=64 algorithm=none", {1: {"m": 0.1}, 2: {"m": 0.1}})
    claim = ClaimConfig(
        "PPO has more", "m", "algorithm=ppo width=64", versus="algorithm=none width=64"
    )
    (found,) = decide(StudyConfig(claims={"c": claim}), [a, b])
    assert (found.verdict, found.why) == (Verdict.holds, "")


def test_a_curve_is_read_where_it_has_the_arms_reward(tmp_path: Path) -> None:
    # The curve runs through (reward, tax) = (0, .9) and (1, .5). At reward .5 it has .7: the arm's .8 is .1 above. At reward
    # 2 its nearest end counts, .5: .6 is .1 above. Both seeds say .1 exactly.
    curve = [
        arm(tmp_path, n, {s: {"r": r, "t": t} for s in (1, 2)})
        for n, r, t in (("lo", 0.0, 0.9), ("hi", 1.0, 0.5))
    ]
    own = arm(tmp_path, "own", {1: {"r": 0.5, "t": 0.8}, 2: {"r": 2.0, "t": 0.6}})
    claim = ClaimConfig("own is above the curve", "t", "own", frontier=["hi", "lo"], at="r")
    (found,) = decide(StudyConfig(claims={"c": claim}), [own, *curve])
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(0.1)
    assert found.verdict is Verdict.holds


def test_claims_are_paired_by_prompt_where_they_can_be(tmp_path: Path) -> None:
    # Both arms vary widely over prompts, but the first is always better by 1: unpaired intervals would hide it.
    declared = {
        "title": "T",
        "claims": {"c": {"statement": "A beats B", "measure": "g", "arm": "A", "versus": "B"}},
    }
    for label, shift in (("A", 1.0), ("B", 0.0)):
        for seed in (1, 2):
            folder = tmp_path / "s" / f"{label}{seed}"
            (folder / "kept").mkdir(parents=True)
            rows = [
                {"prompt_id": f"p{i}", "values": {"g": 10.0 * i + shift + 0.1 * seed * (i % 2)}}
                for i in range(10)
            ]
            (folder / "kept" / "samples.jsonl").write_text(
                "".join(json.dumps(row) + "\n" for row in rows)
            )
            stage = {
                "stage": "evaluation",
                "name": "suite",
                "recipe": folder.name,
                "seed": seed,
                "artifact": str(folder / "kept"),
            }
            facts: dict[str, Any] = {
                "config_name": "x",
                "overrides": [f"arm={label}"],
                "seed": seed,
                "arm": label,
            }
            (folder / ".hydra").mkdir()
            (folder / ".hydra" / "config.yaml").write_text(
                json.dumps({"study": declared})
            )  # JSON is YAML
            facts |= {"stages": [stage], "status": "complete", "command": ["preflab", "-cn", "x"]}
            (folder / "manifest.json").write_text(json.dumps(facts))
            evaluation = {"measures": {"g": {"value": 45.0 + shift, "n": 10}}, "n": 10}
            (folder / "summary.json").write_text(json.dumps({"evaluation": evaluation}))
    report = build_report([tmp_path / "s"], tmp_path / "report.html")
    assert report.decisions[0].verdict is Verdict.holds
    written = json.loads((tmp_path / "summary.json").read_text())
    assert (written["study"], written["command"]) == ("x", "preflab -cn x")
    (claim,) = written["claims"]
    assert claim["holds"] == "holds"
    assert claim["estimate"] == pytest.approx(1.0)
    assert (claim["n"], claim["seeds"]) == (10, [1, 2])
    assert "A beats B" in (tmp_path / "report.html").read_text()


def _judged(
    folder: Path, label: str, seed: int, cases: Mapping[str, float], measured: Measured
) -> RunResult:
    """A run whose measure m has a value a question."""
    place = folder / f"{label}-{seed}"
    place.mkdir(parents=True)
    (place / "cases.jsonl").write_text(json.dumps({"measure": "m", "values": cases}) + "\n")
    stage = StageRow("evaluation", "suite", f"{label}{seed}", seed, place, False, 1.0)
    return RunResult(place, "study", label, (), seed, (stage,), {"m": measured})


def test_claims_are_paired_by_question_where_they_can_be(tmp_path: Path) -> None:
    # One seed, ten questions: A answers 8, B the first 2 of these 8. Differences: six of 1 and four of 0. Mean .6,
    # sd sqrt(10 / 9 * .24) = .5164, t(9, .975) = 2.262: half-width 2.262 * .5164 / sqrt(10) = .3694.
    runs = {
        label: _judged(
            tmp_path, label, 1, {f"q{i}": float(i < right) for i in range(10)}, Measured(right / 10)
        )
        for label, right in (("A", 8), ("B", 2))
    }
    first, second = (Arm(label, (), (run,), {}) for label, run in runs.items())
    (found,) = decide(
        StudyConfig(claims={"c": ClaimConfig("A knows more", "m", "A", versus="B")}),
        [first, second],
    )
    assert found.estimate is not None
    assert found.estimate.n == 10
    assert (found.estimate.low, found.estimate.high) == pytest.approx(
        (0.6 - 0.3694, 0.6 + 0.3694), abs=1e-3
    )
    assert found.verdict is Verdict.holds


def test_sides_that_do_not_vary_are_not_certain(tmp_path: Path) -> None:
    # Both arms answer everything, in both seeds: the difference is 0 in each. Within a run the interval is .9 to 1 for A and
    # .8 to 1 for B: 0 - sqrt(.1^2 + 0^2) to 0 + sqrt(0^2 + .2^2).
    cases = {f"q{i}": 1.0 for i in range(8)}
    arms = [
        Arm(
            label,
            (),
            tuple(
                _judged(tmp_path, label, seed, cases, Measured(1.0, low, 1.0, 8)) for seed in (1, 2)
            ),
            {},
        )
        for label, low in (("A", 0.9), ("B", 0.8))
    ]
    claims = {
        "c": ClaimConfig("A knows more, by .15", "m", "A", versus="B", margin=0.15),
        "z": ClaimConfig("A knows", "m", "A"),
    }
    between, alone = decide(StudyConfig(claims=claims), arms)
    assert between.estimate is not None
    assert (between.estimate.value, between.estimate.low, between.estimate.high) == pytest.approx(
        (0.0, -0.1, 0.2)
    )
    assert between.verdict is Verdict.undecided  # an interval of width zero would have said: fails
    assert alone.estimate is not None
    assert (alone.estimate.low, alone.estimate.high) == pytest.approx((0.9, 1.0))


def test_a_series_is_the_mean_of_its_arms_within_a_seed_and_zero_stands_on_the_other_side(
    tmp_path: Path,
) -> None:
    # Seeds 1, 2, 3: means over the two arms (.1 + .3) / 2 = .2, (.2 + .2) / 2 = .2, (.3 + .1) / 2 = .2: no spread over seeds,
    # though each arm by itself runs from .1 to .3.
    first = arm(tmp_path, "k=0", {1: {"gap": 0.1}, 2: {"gap": 0.2}, 3: {"gap": 0.3}})
    second = arm(
        tmp_path, "k=1", {1: {"gap": 0.3}, 2: {"gap": 0.2}, 3: {"gap": 0.1}, 4: {"gap": 9.0}}
    )
    claims = {
        "all": ClaimConfig("there is a gap", "gap", "folds"),
        "one": ClaimConfig("there is one at 0", "gap", "k=0"),
    }
    pooled, alone = decide(
        StudyConfig(claims=claims, series={"folds": ["k=0", "k=1"]}), [first, second]
    )
    assert pooled.estimate is not None
    assert (pooled.estimate.value, pooled.estimate.low, pooled.estimate.high) == pytest.approx(
        (0.2, 0.2, 0.2)
    )
    assert (pooled.verdict, pooled.seeds) == (Verdict.holds, (1, 2, 3))  # seed 4 has one arm only
    # alone: mean .2, sd .1, half-width 4.303 * .1 / sqrt(3) = .248: zero is inside
    assert alone.verdict is Verdict.undecided


def test_a_report_on_one_run_leaves_its_own_summary_alone(tmp_path: Path) -> None:
    # A run of a study declares claims; its summary.json holds its measures, and reading it again finds them.
    _written(tmp_path / "1", "x", "A", 1, {"g": 0.5}, [("c", "A", "B")])
    first = build_report([tmp_path / "1"], tmp_path / "1" / "report.html")
    second = build_report([tmp_path / "1"], tmp_path / "1" / "report.html")
    assert first.arms[0].measures == second.arms[0].measures == {"g": Measured(0.5, n=7)}
    assert "evaluation" in json.loads((tmp_path / "1" / "summary.json").read_text())
    assert not list((tmp_path / "1").glob("summary-*"))


def test_several_studies_are_decided_each_by_its_own_arms(tmp_path: Path) -> None:
    # Both studies call their arms A and B. In x A has .5 more, in y .5 less: exactly, in every seed.
    for name, a in (("x", 0.9), ("y", -0.1)):
        for seed in (1, 2):
            for label, value in (("A", a), ("B", 0.4)):
                _written(
                    tmp_path / name / f"{label}{seed}",
                    name,
                    label,
                    seed,
                    {"g": value},
                    [(f"of {name}", "A", "B")],
                )
    report = build_report([tmp_path / "x", tmp_path / "y"], tmp_path / "both" / "report.html")
    found = {study.name: [(d.name, d.verdict) for d in study.decisions] for study in report.studies}
    assert found == {"x": [("of x", Verdict.holds)], "y": [("of y", Verdict.fails)]}
    for name, estimate in (("x", 0.5), ("y", -0.5)):
        written = json.loads((tmp_path / "both" / f"summary-{name}.json").read_text())
        assert (written["study"], written["claims"][0]["estimate"]) == (
            name,
            pytest.approx(estimate),
        )
        assert (written["command"], written["claims"][0]["n"]) == (f"preflab -cn {name}", 7)
    assert not (tmp_path / "both" / "summary.json").exists()
    assert report.title == "Study x; Study y"
    assert joined(report.studies) == {"x: line": ["A (x)", "B (x)"], "y: line": ["A (y)", "B (y)"]}
    page, table = (
        (tmp_path / "both" / "report.html").read_text(),
        (tmp_path / "both" / "report.md").read_text(),
    )
    assert "<h3>Study x</h3>" in page
    assert "<h3>Study y</h3>" in page
    assert "## Claims of Study y" in table


def test_a_name_that_two_arms_share_decides_nothing(tmp_path: Path) -> None:
    for seed in (1, 2):
        for i, (label, words) in enumerate([("A", ()), ("A", ("k=2",)), ("B", ())]):
            _written(
                tmp_path / f"{i}{seed}",
                "x",
                label,
                seed,
                {"g": float(i)},
                [("c", "A", "B"), ("d", "A (k=2)", "B")],
                words,
            )
    (shared, alone), *_ = [
        study.decisions for study in build_report([tmp_path], tmp_path / "r.html").studies
    ]
    assert (shared.verdict, shared.why) == (
        Verdict.undecided,
        "2 arms are called A: A (as it is); A (k=2)",
    )
    assert (alone.verdict, alone.estimate) == (
        Verdict.fails,
        Measured(-1.0, -1.0, -1.0, 7),
    )  # its full name is enough


def test_pinned_stage_seeds_are_draws_of_their_own(tmp_path: Path) -> None:
    # seed=1 algorithm.seed=1,2,3: A has 1, 2, 3 and B, which has no algorithm, 0 once. The mean difference is 2, from three.
    for pinned in (1, 2, 3):
        words = ("seed=1", f"algorithm.seed={pinned}")
        _written(
            tmp_path / f"a{pinned}",
            "x",
            "A",
            1,
            {"g": float(pinned)},
            [("c", "A", "B")],
            words,
            algorithm=pinned,
        )
    _written(tmp_path / "b", "x", "B", 1, {"g": 0.0}, [("c", "A", "B")])
    report = build_report([tmp_path], tmp_path / "r.html")
    arm_a = next(arm for arm in report.arms if arm.label == "A")
    assert arm_a.seeds == [1, "1 (algorithm 2)", "1 (algorithm 3)"]
    (decision,) = report.decisions
    assert decision.estimate is not None
    assert decision.estimate.value == pytest.approx(2.0)
    assert decision.why == ""
    assert decision.seeds == (1, "1 (algorithm 2)", "1 (algorithm 3)")
    assert "algorithm 2" in (tmp_path / "r.html").read_text()


def test_the_same_run_by_two_versions_of_the_code_is_one_seed(tmp_path: Path) -> None:
    for i, value in enumerate((0.5, 0.7)):
        _written(tmp_path / str(i), "x", "A", 1, {"g": value}, [], code=f"version {i}")
        os.utime(tmp_path / str(i) / "manifest.json", (100 - i, 100 - i))  # the first was made last
    report = build_report([tmp_path], tmp_path / "r.html")
    (found,) = report.arms
    assert (found.seeds, found.measures["g"].value) == ([1], 0.5)
    assert any(
        f"{tmp_path / '0'} counts, {tmp_path / '1'} does not" in note for note in report.notes
    )


def test_seeds_that_lack_the_measure_are_named_and_not_listed(tmp_path: Path) -> None:
    a = arm(tmp_path, "A", {1: {"m": 0.5}, 2: {"m": 0.5}, 3: {}, 4: {"m": 0.5}})
    b = arm(tmp_path, "B", {1: {"m": 0.1}, 2: {"m": 0.1}, 3: {"m": 0.1}})
    (found,) = decide(
        StudyConfig(claims={"c": ClaimConfig("A has more", "m", "A", versus="B")}), [a, b]
    )
    assert (found.seeds, found.verdict) == ((1, 2), Verdict.holds)
    assert found.why == "seed 3 is left out: no m in A; seed 4 is left out: no run of B"
    (nothing,) = decide(
        StudyConfig(claims={"c": ClaimConfig("A has more", "x", "A", versus="B")}), [a, b]
    )
    assert nothing.seeds == ()
    assert "seed 1 is left out: no x in A, no x in B" in nothing.why


def test_seeds_beyond_the_curve_are_marked(tmp_path: Path) -> None:
    curve = [
        arm(tmp_path, n, {s: {"r": r, "t": t} for s in (1, 2)})
        for n, r, t in (("lo", 0.0, 0.9), ("hi", 1.0, 0.5))
    ]
    own = arm(tmp_path, "own", {1: {"r": 0.5, "t": 0.8}, 2: {"r": 2.0, "t": 0.6}})
    claim = ClaimConfig("own is above the curve", "t", "own", frontier=["hi", "lo"], at="r")
    (found,) = decide(StudyConfig(claims={"c": claim}), [own, *curve])
    assert (
        found.why
        == "seed 2: r 2.000 is outside the curve (0.000 to 1.000), whose nearest end counts"
    )


def _written(
    folder: Path,
    study: str,
    label: str,
    seed: int,
    values: Mapping[str, float],
    claims: Sequence[tuple[str, str, str]],
    overrides: Sequence[str] = (),
    code: str = "",
    algorithm: int | None = None,
) -> None:
    """A run folder of a study with claims (name, arm, versus) about the measure g; every measure from 7 values."""
    declared = {
        c: {"statement": f"{a} beats {b}", "measure": "g", "arm": a, "versus": b}
        for c, a, b in claims
    }
    (folder / ".hydra").mkdir(parents=True)
    config = {
        "study": {"title": f"Study {study}", "claims": declared, "series": {"line": ["A", "B"]}}
    }
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    stages = (
        []
        if algorithm is None
        else [{"stage": "algorithm", "recipe": f"a{algorithm}", "seed": algorithm}]
    )
    stages.append({"stage": "evaluation", "recipe": f"{folder}{code}", "seed": seed})
    facts = {
        "config_name": study,
        "overrides": list(overrides),
        "seed": seed,
        "arm": label,
        "stages": stages,
    }
    (folder / "manifest.json").write_text(
        json.dumps(facts | {"status": "complete", "command": ["p", "-cn", study]})
    )
    measures = {name: {"value": value, "n": 7} for name, value in values.items()}
    (folder / "summary.json").write_text(json.dumps({"evaluation": {"measures": measures, "n": 7}}))
