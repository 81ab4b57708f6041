"""Which columns are shown at once, and which are folded."""

from __future__ import annotations

from pathlib import Path

from fake_sweep import fifty_runs, two_by_two
from preflab.interfaces import Measure
from preflab_builtin.report.arms import Arm, arms
from preflab_builtin.report.choosing import chosen, contrast, others
from preflab_builtin.report.columns import columns
from preflab_builtin.report.gather import gather


def _arm(label: str, **measures: float) -> Arm:
    named = {name.replace("_", "/", 1): value for name, value in measures.items()}
    return Arm(label, (), (), {name: Measure(v, v - 0.1, v + 0.1, 9) for name, v in named.items()})


def test_what_claims_are_about_comes_first(tmp_path: Path) -> None:
    pair = arms(gather([two_by_two(tmp_path)]).runs)
    shown = chosen(pair, ["families/addition", "gold/gold"])
    assert shown[0].measure == "families/addition"
    # Columns of a group stand side by side, so the mean of the families follows.
    measures = [column.measure for column in shown]
    assert measures.index("families/mean") < measures.index("gold/gold")


def test_every_column_is_in_one_table_and_each_table_fits(tmp_path: Path) -> None:
    many = arms(gather([fifty_runs(tmp_path)]).runs)
    shown = chosen(many, [])
    tables = [shown, *others(many, shown)]
    measures = [column.measure for table in tables for column in table]
    assert sorted(measures) == sorted(column.measure for column in columns(many))
    assert all(len(table) <= 9 for table in tables)


def test_a_measure_in_which_arms_do_not_differ_is_folded() -> None:
    two = [
        _arm("A", reward_proxy=1.0, length_tokens=7.0),
        _arm("B", reward_proxy=2.0, length_tokens=7.0),
    ]
    assert [column.measure for column in chosen(two, [])] == ["reward/proxy"]
    assert [column.measure for column in chosen(two[:1], [])] == ["reward/proxy", "length/tokens"]
    # The distance of 1 is ten halves of an interval of 0.2.
    assert round(contrast(chosen(two, [])[0], two), 6) == 10.0
