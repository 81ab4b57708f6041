"""The tables in a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fake_study import LADDER, study
from preflab_builtin import report as plugin
from preflab_builtin.report.arms import arms
from preflab_builtin.report.gather import gather
from preflab_builtin.report.markdown import ladder_markdown
from preflab_builtin.report.terminal import ladder_table

pytestmark = pytest.mark.slow


def test_the_terminal_table_says_what_the_page_says(tmp_path: Path) -> None:
    folder, out = study(tmp_path / "s", seeds=(1,)), tmp_path / "report.html"
    text = plugin.preflab_report(folders=[folder], out=out)
    lines = text.splitlines()
    assert max(map(len, lines[:20])) <= 176
    at = next(i for i, line in enumerate(lines) if line.strip().startswith("best-of-n"))
    row = lines[at]
    # Below the values are the intervals of proxy reward, utility, win rate and tasks; the bound of
    # a KL has none.
    assert len(re.findall(r"\[[^]]+\]", lines[at + 1])) == 4
    assert "≤ 0.64" in row  # a bound, not an estimate
    assert "57.0 %" in row  # win rate .59, and the shift of seed 1 is -.02
    assert "simulated" in text
    assert "nothing about other seeds" in text
    assert f"Report: {out}" in text


def test_narrow_terminals_get_one_column_per_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preflab_builtin.report.terminal.WIDTH_OF_A_FILE", 90)
    folder = study(tmp_path / "s", seeds=(1,))
    lines = plugin.preflab_report(folders=[folder], out=tmp_path / "report.html").splitlines()
    heads = [line.split() for line in lines if line.split()[-1:] in ([arm] for arm in LADDER)]
    # Several tables, in which every arm is once and has its whole name.
    assert [arm for head in heads for arm in head] == list(LADDER)
    assert max(map(len, lines[:20])) <= 90
    assert "…" not in "".join(lines[:40])


def test_the_tables_have_all_arms(tmp_path: Path) -> None:
    ladder = arms(gather([study(tmp_path / "s", seeds=(1,))]).runs)
    assert ladder_table(ladder).row_count == 5
    assert ladder_markdown(ladder).count("\n") == 6
