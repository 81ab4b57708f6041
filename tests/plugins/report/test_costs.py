"""Costs of the stages and times of iterations."""

from __future__ import annotations

from pathlib import Path

from fake_study import study
from preflab_builtin.report.arms import arms
from preflab_builtin.report.build import build_report
from preflab_builtin.report.costs import iteration_times
from preflab_builtin.report.gather import gather
from preflab_builtin.report.pictures.timing import iterations


def test_costs_count_each_result_once(tmp_path: Path) -> None:
    report = build_report([study(tmp_path / "s", seeds=(1, 2))], tmp_path / "r.html")
    # The first arms have no algorithm: its place among the stages is that of the runs that have
    # one.
    assert [c.stage for c in report.costs] == ["pretrain", "sft", "algorithm", "evaluation"]
    pretrain = report.costs[0]
    assert pretrain.component == "documents"
    # 2 seeds, made by the base arm at 10 s each and reused by the other 4 arms.
    assert (pretrain.artifacts, pretrain.computed, pretrain.reused) == (2, 2, 8)
    assert pretrain.total == 20.0
    # 1.5 million tokens and 2e12 operations each, once per seed.
    assert (pretrain.tokens, pretrain.flops, pretrain.peak_mb) == (3e6, 4e12, 512)
    page = (tmp_path / "r.html").read_text()
    for heading in ("tokens", "FLOPs", "peak MB"):
        assert f"<th>{heading}</th>" in page
    assert "<td>3 M</td><td>4 T</td><td>512</td>" in page.replace("\n", "")


def test_where_an_iterations_time_goes(tmp_path: Path) -> None:
    ladder = arms(gather([study(tmp_path / "s", seeds=(1, 2))]).runs)
    (picture,) = iterations(ladder)
    # The fake logs say the same in each of 25 iterations of 2 seeds of 2 arms.
    assert (
        "PPO: rollout 0.50 s, scoring 0.10 s, old log probs 0.20 s, update 0.75 s, other 0.05 s; "
        "25.0 %"
    ) in picture.alt
    assert "PPO-ptx: rollout 0.50 s" in picture.alt
    assert "update 1.25 s" in picture.alt
    assert "SFT" not in picture.alt  # it has no algorithm
    assert picture.caption.startswith("Mean over 100 iterations.")
    (times,) = iteration_times([ladder[3]])
    assert (times.share, times.iterations) == (0.25, (25, 25))
