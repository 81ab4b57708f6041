"""Tables of the page and the Markdown file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from fake_study import results, write_run
from preflab_builtin.report.arms import arms
from preflab_builtin.report.build import build_report
from preflab_builtin.report.contents import differences, left_out, notices, shown_examples
from preflab_builtin.report.gather import gather
from preflab_builtin.report.markdown import markdown
from preflab_builtin.report.terminal import SHOWN_NOTICES, report_text


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


def test_ten_examples_of_an_evaluator_are_shown(tmp_path: Path) -> None:
    write_run(tmp_path / "0", "PPO", 1, [], results("PPO", 0.0))
    write_run(tmp_path / "1", "SFT", 1, [], results("SFT", 0.0))
    assert shown_examples(arms(gather([tmp_path]).runs)) == []
    rows = [{"of": "Odd <ones>", "example": {"prompt": f"<b>{i}</b>", "n": "4"}} for i in range(12)]
    for number in ("0", "1"):
        values = json.loads((tmp_path / number / "manifest.json").read_text())
        place = Path(next(r["artifact"] for r in values["stages"] if r["stage"] == "evaluation"))
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (place / "examples.jsonl").write_text(lines)
    ((heading, grid),) = shown_examples(arms(gather([tmp_path]).runs))  # of one run
    assert heading.startswith("Odd <ones> (10 of 12; ")
    assert grid.head == ("prompt", "n")
    assert grid.rows == tuple((f"<b>{i}</b>", "4") for i in range(10))
    report = build_report([tmp_path], tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "Odd &lt;ones&gt; (10 of 12; " in page
    assert "&lt;b&gt;9&lt;/b&gt;" in page
    assert page.count('<td class="text">4</td>') == 10  # every column is a text, whoever shows it
    assert "&lt;b&gt;10&lt;/b&gt;" not in page
    assert r"## Odd \<ones\> (10 of 12; " in markdown(report)


def test_what_was_said_before_the_first_stage_is_shown_with_its_arms(tmp_path: Path) -> None:
    """Each sentence once, whatever the number of runs; the terminal has the first line of each,
    whole, and says where the others stand."""
    everywhere = "demonstrations: the filters leave out <5>.\n  private 5\n    row 3"
    long = "lr=1: far above " + "x" * 400
    said = {"SFT": [everywhere], "PPO": [everywhere, long]}
    for arm, sentences in said.items():
        for seed in (1, 2):
            folder = tmp_path / f"{arm}{seed}"
            write_run(folder, arm, seed, [f"arm={arm}"], results(arm, 0.0), notices=sentences)
    assert notices(arms(gather([tmp_path]).runs)).rows == ((everywhere, "all"), (long, "PPO"))
    report = build_report([tmp_path], tmp_path / "r.html")
    page, text = (tmp_path / "r.html").read_text(), report_text(report, tmp_path / "r.html")
    heading = "Said before the first stage"
    assert page.count(f"<summary>{heading}</summary>") == 1
    assert "leave out &lt;5&gt;.<small>  private 5</small>" in page
    assert f"## {heading}" in markdown(report)
    first = f"{heading}: demonstrations: the filters leave out <5>. (2 more lines on the page)"
    assert f"{first}\n" in text
    assert f"{heading}: {long}\n" in text
    unwritten = report_text(replace(report, unwritten="read-only"), tmp_path / "r.html")
    assert "(2 more lines in the run folder's manifest.json)\n" in unwritten


def test_a_terminal_is_not_filled_with_what_was_said(tmp_path: Path) -> None:
    many = [f"sentence {i}" for i in range(SHOWN_NOTICES + 3)]
    write_run(tmp_path / "0", "PPO", 1, [], results("PPO", 0.0), notices=many)
    text = report_text(build_report([tmp_path], tmp_path / "r.html"), tmp_path / "r.html")
    assert f"sentence {SHOWN_NOTICES - 1}\n" in text
    assert f"sentence {SHOWN_NOTICES}\n" not in text
    assert "Said before the first stage: 3 more on the page." in text


def test_runs_of_which_nothing_was_said_have_no_such_table(tmp_path: Path) -> None:
    write_run(tmp_path / "0", "PPO", 1, [], results("PPO", 0.0), notices=None)
    report = build_report([tmp_path], tmp_path / "r.html")
    assert "Said before" not in (tmp_path / "r.html").read_text() + markdown(report)
