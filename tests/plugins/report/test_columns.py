"""Columns of the ladder table."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fake_study import LADDER, study
from preflab.interfaces import Measure
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.build import build_report
from preflab_builtin.report.columns import Column, columns
from preflab_builtin.report.contents import unit_of


def test_the_ladder_has_one_row_per_arm_with_means_over_seeds(tmp_path: Path) -> None:
    report = build_report([study(tmp_path / "s")], tmp_path / "report.html")
    assert [arm.label for arm in report.arms] == list(LADDER)
    ppo = next(arm for arm in report.arms if arm.label == "PPO")
    assert ppo.seeds == [1, 2, 3]
    # Shifts -0.02, 0, 0.02: mean 1.32, s = 0.02, t(2, .975) = 4.3027: half-width
    # 4.3027 * 0.02 / sqrt(3) = 0.04968.
    proxy = ppo.measures["reward/proxy"]
    assert proxy.value == pytest.approx(1.32)
    assert proxy.high - proxy.value == pytest.approx(0.04968, abs=1e-4)
    assert proxy.n == 3
    assert "reward_accuracy/proxy/matched" not in ppo.measures  # null: nothing was measured
    headings = {column.heading for column in columns(report.arms)}
    chosen = {"proxy reward", "gold", "KL, nats", "length", "ended", "mean", "addition", "loss"}
    assert chosen <= headings
    assert "win" not in headings


def test_a_measure_without_a_place_is_a_column_too() -> None:
    # A third party's evaluator, labeler groups (shares), calibration next to accuracy. The points
    # of a curve are in a picture.
    names = (
        "mine/bits_a_word",
        "labeler_groups/held_out",
        "guard/blocked",
        "gold/rude_any",
        "gold/harmless_worst",
        "reward_accuracy/proxy/all",
        "calibration/proxy/loss",
        "best_of/4/gold",
        "stereotypes/plain/entropy",
        "stereotypes/plain/entropy/gender",  # one of many groups: among all measures only
    )
    arm = Arm("A", (), (), {name: Measure(0.5) for name in names})
    assert {(c.group, c.heading): c.value(arm) for c in columns([arm])} == {
        ("Pairs ordered right", "proxy"): "50.0 %",
        ("Calibration", "proxy/loss"): "0.500",
        ("Mine", "bits a word"): "0.500",
        ("Labeler groups", "held out"): "50.0 %",
        ("Guard", "blocked"): "50.0 %",
        ("True utility (simulated)", "rude any"): "50.0 %",
        ("True utility (simulated)", "harmless worst"): "0.50",
        ("Stereotypes", "plain/entropy"): "0.500",
    }


def test_rounding_makes_no_point_of_an_interval() -> None:
    """49.96 to 50.04 % is [50.0, 50.0] with one decimal; value and ends have the same decimals."""
    column = Column("families/m", "m", "m")
    for measure, value, bounds in (
        (Measure(0.5, 0.4996, 0.5004), "50.00 %", "[49.96, 50.04]"),
        (Measure(0.5, 0.5, 0.5), "50.0 %", "[50.0, 50.0]"),
        (Measure(0.5, 0.4, 0.6), "50.0 %", "[40.0, 60.0]"),
        (Measure(0.5), "50.0 %", ""),
    ):
        arm = cast(Arm, SimpleNamespace(measures={"families/m": measure}))
        assert (column.value(arm), column.bounds(arm)) == (value, bounds)


def test_a_share_is_in_percent_and_its_differences_in_points() -> None:
    """Everywhere by the same list: a column of shares and a claim about them have one unit."""
    measures = {"labeler_groups/gap": Measure(0.006), "gold/gold": Measure(0.006)}
    shown = {
        c.measure: c.value(Arm("A", (), (), measures))
        for c in columns([Arm("A", (), (), measures)])
    }
    assert shown == {"labeler_groups/gap": "0.6 %", "gold/gold": "0.01"}
    assert unit_of("labeler_groups/gap") == (100.0, 1, " points")
    assert unit_of("gold/gold") == (1.0, 3, "")


def test_operations_are_no_column_where_no_arm_trained() -> None:
    sft, ppo = ({"cost/flops": Measure(value)} for value in (0.0, 6e12))
    assert columns([Arm("SFT", (), (), sft)]) == []
    both = [Arm("SFT", (), (), sft), Arm("PPO", (), (), ppo)]
    assert [c.value(both[1]) for c in columns(both)] == ["6 T"]


def test_pairs_right_of_each_group_of_people_the_worst_first() -> None:
    values = {"all": 0.7, "matched": 0.6, "group/a": 0.8, "group/18/24": 0.5, "group/c": 0.6}
    measures = {f"reward_accuracy/proxy/{name}": Measure(v) for name, v in values.items()}
    arm: Any = SimpleNamespace(measures=measures)
    shown = [(column.group, column.heading) for column in columns([arm])]
    headings = ["proxy", "proxy, 18/24", "proxy, c", "proxy, a"]
    assert shown == [("Pairs ordered right", heading) for heading in headings]
