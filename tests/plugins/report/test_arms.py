"""Which runs are one arm, and the means over them."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from fake_study import results, write_declaring_run, write_run
from preflab.interfaces import Measure
from preflab_builtin.report.arms import Arm, arms, combined, presented
from preflab_builtin.report.build import build_report
from preflab_builtin.report.gather import gather
from preflab_builtin.report.runs import RunResult


def _run(number: int, measures: dict[str, Measure]) -> RunResult:
    return RunResult(Path("x"), "c", "a", (), number, (), measures)


def test_arms_that_differ_in_more_than_the_seed_are_kept_apart(tmp_path: Path) -> None:
    for i, (seed, coef) in enumerate([(1, 0.1), (2, 0.1), (1, 0.2)]):
        words = ["arm=ppo", f"seed={seed}", f"algorithm.kl.coef={coef}", "algorithm.seed=3"]
        write_run(tmp_path / str(i), "PPO", seed, words, results("PPO", 0.0))
    words = ["arm=ppo", "seed=1", "algorithm.kl.coef=0.1", "data.seed=5"]
    write_run(tmp_path / "9", "PPO", 1, words, results("PPO", 0.0))
    assert [(arm.label, arm.seeds) for arm in arms(gather([tmp_path]).runs)] == [
        ("PPO (algorithm.kl.coef=0.1)", [1, 2]),
        ("PPO (algorithm.kl.coef=0.2)", [1]),
        ("PPO (algorithm.kl.coef=0.1 data.seed=5)", [1]),  # another world is not another seed
    ]


def test_runs_without_arms_are_named_by_what_differs(tmp_path: Path) -> None:
    overrides = ["data=x"], ["data=x", "algorithm=ppo"], ["data=x", "algorithm=ppo_ptx", "seed=2"]
    for i, words in enumerate(overrides):
        write_run(tmp_path / str(i), "", 1, words, None)
    labels = [arm.label for arm in arms(gather([tmp_path]).runs)]
    assert labels == ["ladder", "algorithm=ppo", "algorithm=ppo_ptx"]


def test_the_same_run_by_two_versions_of_the_code_is_one_seed(tmp_path: Path) -> None:
    for i, value in enumerate((0.5, 0.7)):
        folder = tmp_path / str(i)
        write_declaring_run(folder, "x", "A", 1, {"g": value}, [], code=f"version {i}")
        os.utime(folder / "manifest.json", (100 - i, 100 - i))  # the first was made last
    report = build_report([tmp_path], tmp_path / "r.html")
    (arm,) = report.arms
    assert (arm.seeds, arm.measures["g"].value) == ([1], 0.5)
    message = f"{tmp_path / '0'} counts, {tmp_path / '1'} does not"
    assert any(message in note for note in report.notes)


def test_one_run_keeps_its_own_interval() -> None:
    measures = {"m": Measure(0.5, 0.4, 0.6, 400)}
    assert combined([_run(1, measures)]) == measures


def test_runs_of_one_seed_count_as_their_mean() -> None:
    # Seed 1 has 1 and 3, seed 2 has 4: the mean of 2 and 4 is 3, sd 1.414, half-width 12.706.
    found = combined([_run(s, {"m": Measure(v)}) for s, v in ((1, 1.0), (1, 3.0), (2, 4.0))])["m"]
    assert (found.value, found.n) == (3.0, 2)
    assert found.high == pytest.approx(3.0 + 12.7062, abs=1e-3)
    # Runs of one seed alone are about other draws of it: 2, sd 1.414, of two.
    alone = combined([_run(1, {"m": Measure(v)}) for v in (1.0, 3.0)])["m"]
    assert (alone.value, alone.n) == (2.0, 2)
    assert alone.high == pytest.approx(2.0 + 12.7062, abs=1e-3)


def test_no_interval_leaves_the_range_of_its_measure() -> None:
    values = ((1, 0.2), (2, 0.8))
    runs = [
        _run(i, {"share": Measure(v, least=0.0, most=1.0), "gap": Measure(v, least=-1.0, most=1.0)})
        for i, v in values
    ]
    means = combined(runs)
    # mean .5, s = .4243, t(1, .975) = 12.706: half-width 3.81
    assert (means["share"].low, means["share"].high) == (0.0, 1.0)
    assert (means["gap"].low, means["gap"].high) == (-1.0, 1.0)
    free = combined([_run(i, {"m": Measure(v)}) for i, v in values])["m"]
    assert free.high == pytest.approx(0.5 + 12.7062 * 0.3, abs=1e-3)


def test_runs_that_all_say_one_have_the_interval_of_one_of_them() -> None:
    # That seeds do not differ does not make a measure certain: .9 to 1 and .8 to 1, on the same
    # questions, are .85 to 1. Without such intervals there is none.
    runs = [
        _run(i, {"families/mean": Measure(1.0, low, 1.0, 64), "m": Measure(1.0)})
        for i, low in enumerate((0.9, 0.8))
    ]
    means = combined(runs)
    assert means["families/mean"].low == pytest.approx(0.85)
    assert (means["families/mean"].value, means["families/mean"].high) == (1.0, 1.0)
    assert (means["m"].value, means["m"].n) == (1.0, 2)
    assert math.isnan(means["m"].low)
    # equal but for rounding
    ties = [_run(i, {"w": Measure(v, 0.3, 0.7, 8)}) for i, v in enumerate((0.5, 0.5 - 1e-16))]
    assert (combined(ties)["w"].low, combined(ties)["w"].high) == (0.3, 0.7)


def test_short_labels_are_those_that_tell_arms_apart() -> None:
    def shorts(*labels: str) -> list[str]:
        return [arm.brief for arm in presented([Arm(label, (), (), {}) for label in labels])]

    assert shorts("algorithm=ppo algorithm.kl.coef=0.1", "PPO") == ["ppo coef=0.1", "PPO"]
    # The last parts of these keys are the same: both labels stay.
    same = ("algorithm.policy.lr=0.1", "algorithm.value.lr=0.1")
    assert shorts(*same) == list(same)


def test_of_many_arms_those_that_are_named_have_the_first_numbers() -> None:
    many = presented(
        [Arm(f"a{i}", (), (), {}) for i in range(20)], named=["a7", "a3", "a7", "none"]
    )
    numbers = {arm.label: arm.number for arm in many if arm.number is not None}
    assert (numbers["a7"], numbers["a3"]) == (0, 1)
    # The ends of the others too.
    assert {"a0", "a19"} <= numbers.keys()
    assert sorted(numbers.values()) == list(range(8))


def test_a_run_is_called_by_its_name(tmp_path: Path) -> None:
    """A name that several arms have, as those of a multirun, tells nothing."""
    for i, (name, coef) in enumerate([("mine", 0.1), ("grid", 0.2), ("grid", 0.3)]):
        words = [f"algorithm.kl.coef={coef}", f"name={name}", "note=x"]
        write_run(tmp_path / str(i), "", 1, words, results("PPO", 0.0))
        manifest = tmp_path / str(i) / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": name}))
    labels = [arm.label for arm in arms(gather([tmp_path]).runs)]
    assert labels == ["mine", "algorithm.kl.coef=0.2", "algorithm.kl.coef=0.3"]
