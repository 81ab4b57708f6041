"""The tables in a terminal."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from fake_study import LADDER, study
from preflab.interfaces import Measure
from preflab.study import ClaimConfig, Verdict
from preflab_builtin import report as plugin
from preflab_builtin.report.arms import arms
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.gather import gather
from preflab_builtin.report.markdown import ladder_markdown
from preflab_builtin.report.terminal import claims_table, ladder_table

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
    monkeypatch.setattr("preflab.terminal.WIDTH_OF_A_FILE", 90)
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


@pytest.mark.parametrize("width", [60, 100, 160])
def test_no_number_of_a_claim_is_cut(width: int) -> None:
    statement = "A statement that is so long that no terminal has room for it and the numbers " * 2
    claim = ClaimConfig(statement.strip(), "g", "A", "B")
    looks, plain = Measure(0.1, 0.02, 0.18, 5), Measure(0.1, 0.05, 0.15, 5)
    decision = Decision(
        "c", claim, plain, (1, 2), Verdict.holds, for_looks=looks, p=0.01, p_holm=0.02
    )
    stream = StringIO()
    Console(file=stream, width=width).print(claims_table([decision, decision], width))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for words in ("[+0.050, +0.150]", "[+0.020, +0.180]", "holds, p = 0.020", "+0.100"):
        assert text.count(words) == 2, text
    assert "…" not in text
    assert " ".join(text.split()).count("verdict") == (
        1 if width == 160 else 2
    )  # a heading, or a line of each claim
