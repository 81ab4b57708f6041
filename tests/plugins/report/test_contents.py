"""Tables of the page and the Markdown file."""

from __future__ import annotations

from pathlib import Path

from fake_study import results, write_run
from preflab_builtin.report.arms import arms
from preflab_builtin.report.contents import differences
from preflab_builtin.report.gather import gather


def test_config_differences_leave_out_the_seeds_of_stages_only(tmp_path: Path) -> None:
    configs = {
        "PPO": "{seed: 1, arm: PPO, sft: {seed: null, lr: 1}, data: {seed: 0}, labeler: {seed: 3}}",
        "SFT": "{seed: 2, arm: SFT, sft: {seed: 5, lr: 1}, data: {seed: 1}, labeler: {seed: 4}, "
        "algorithm: {seed: 6}}",
    }
    for arm, config in configs.items():
        write_run(tmp_path / arm, arm, 1, [], results(arm, 0.0))
        (tmp_path / arm / ".hydra").mkdir()
        (tmp_path / arm / ".hydra" / "config.yaml").write_text(config)
    # seed, sft.seed and algorithm.seed are random numbers of the run. Another world and other
    # people are differences.
    grid = differences(arms(gather([tmp_path]).runs))
    assert grid.head == ("key", "PPO", "SFT")
    assert grid.rows == (("data.seed", "0", "1"), ("labeler.seed", "3", "4"))
