"""Tables of the page and the Markdown file."""

from __future__ import annotations

import json
from pathlib import Path

from fake_study import results, write_run
from preflab_builtin.report.arms import arms
from preflab_builtin.report.build import build_report
from preflab_builtin.report.contents import differences, left_out
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


def test_what_filters_left_out_is_shown_with_examples(tmp_path: Path) -> None:
    write_run(tmp_path / "0", "PPO", 1, [], results("PPO", 0.0))
    assert left_out(arms(gather([tmp_path]).runs)).rows == ()
    rows = ["a.jsonl:3 'call <b>me</b>'", "a.jsonl:9 'ring'"]
    counts = {"total": 9, "dropped": {"private: phone": 2}, "examples": {"private: phone": rows}}
    path = tmp_path / "0" / "summary.json"
    summary = json.loads(path.read_text())
    summary["records"] = {"prompts": counts, "documents": {"total": 3, "dropped": {}}}
    path.write_text(json.dumps(summary))
    grid = left_out(arms(gather([tmp_path]).runs))
    assert grid.rows == (("prompts", "private: phone", "\n".join(rows)),)
    build_report([tmp_path], tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "What the filters left out" in page
    assert "a.jsonl:3 &#39;call &lt;b&gt;me&lt;/b&gt;&#39;" in page
