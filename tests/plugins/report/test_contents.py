"""What stands below a picture, in the tables beside them, and in the Markdown file."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from fake_study import LADDER, results, study, write_run
from preflab_builtin.report import contents, markdown
from preflab_builtin.report.arms import arms
from preflab_builtin.report.build import build_report
from preflab_builtin.report.contents import differences
from preflab_builtin.report.plots import win_rates
from preflab_builtin.report.runs import gather


def test_every_figure_names_command_seeds_and_n(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", seeds=(1, 2))
    for path in folder.glob("*/manifest.json"):
        manifest = json.loads(path.read_text())
        path.write_text(
            json.dumps({**manifest, "command": ["/somewhere/preflab", "-cn", "ladder"]})
        )
    build_report([folder], tmp_path / "r.html")
    captions = re.findall(
        r"<figure>.*?<figcaption>(.*?)</figcaption></figure>",
        (tmp_path / "r.html").read_text(),
        re.DOTALL,
    )
    assert len(captions) == (tmp_path / "r.html").read_text().count("<img ") >= 6
    everybody, trained = (
        "Arms base, SFT, best-of-n, PPO, PPO-ptx; seeds 1, 2; n a run: ",
        "Arms PPO, PPO-ptx; seeds 1, 2; n a run: ",
    )
    said = [caption.partition(" <code>")[0] for caption in captions]
    assert said[0].endswith(f"{everybody}400 (gold/gold), 400 (families/mean).")
    assert said[1].endswith(f"{everybody}400 (reward/proxy), 400 (families/mean).")
    assert said[3].endswith(f"{everybody}400 (win_rate/labelers).")
    assert said[4].endswith(f"{trained}25 steps.")  # learning curves: the others have no algorithm
    assert said[-1].endswith(f"{trained}25 iterations.")
    assert all("<code>preflab -cn ladder</code>" in caption for caption in captions)


def test_a_figure_names_the_runs_that_it_is_made_of_and_no_others(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", seeds=(1, 2))
    # SFT has a third run, and one arm and one run were not judged at all; the commands differ.
    write_run(folder / "99", "SFT", 7, ["arm=SFT", "seed=7"], {**results("SFT", 0.0), "n": 9})
    for path in folder.glob("*/manifest.json"):
        manifest = json.loads(path.read_text())
        command = ["preflab", f"arm={manifest['arm']}"]
        path.write_text(json.dumps({**manifest, "command": command}))
        if manifest["arm"] == "base" or (manifest["arm"], manifest["seed"]) == ("PPO", 2):
            path.with_name("summary.json").write_text("{}")
    (picture,) = win_rates(arms(gather([folder]).runs))
    assert picture.behind == (
        "SFT: seeds 1, 2, 7; best-of-n: seeds 1, 2; PPO: seed 1; PPO-ptx: seeds 1, 2; n a run: 400 (win_rate/labelers)."
    )
    assert (
        picture.command
        == "preflab arm=SFT; preflab arm=best-of-n; preflab arm=PPO; preflab arm=PPO-ptx"
    )


def test_config_differences_hide_the_seeds_of_stages_and_no_others(tmp_path: Path) -> None:
    configs = {
        "PPO": "{seed: 1, arm: PPO, sft: {seed: null, lr: 1}, data: {seed: 0}, labeler: {seed: 3}}",
        "SFT": "{seed: 2, arm: SFT, sft: {seed: 5, lr: 1}, data: {seed: 1}, labeler: {seed: 4}, algorithm: {seed: 6}}",
    }
    for arm, config in configs.items():
        write_run(tmp_path / arm, arm, 1, [], results(arm, 0.0))
        (tmp_path / arm / ".hydra").mkdir()
        (tmp_path / arm / ".hydra" / "config.yaml").write_text(config)
    # seed, sft.seed and algorithm.seed are random numbers of the run; another world and other people are differences.
    found = differences(arms(gather([tmp_path]).runs))
    assert found.head == ("key", "PPO", "SFT")
    assert found.rows == (("data.seed", "0", "1"), ("labeler.seed", "3", "4"))


def test_markdown_says_what_the_page_says(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", seeds=(1, 2))
    for i, path in enumerate(sorted(folder.glob("*/manifest.json"))):
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps({**manifest, "command": ["preflab", "-cn", "ladder"]}))
        (path.parent / ".hydra").mkdir()
        (path.parent / ".hydra" / "config.yaml").write_text(f"{{algorithm: {{kl: {{coef: {i}}}}}}}")
    report = build_report([folder], tmp_path / "r.html")
    text = (tmp_path / "r.md").read_text()
    page = html.unescape((tmp_path / "r.html").read_text())
    for heading in (
        *report.figures,
        "Responses side by side",
        "All measures",
        "Cost",
        "What was run",
        "Config differences",
    ):
        assert f"## {heading}\n" in text
        assert heading in page
    assert "Made with: preflab -cn ladder" in text
    assert (
        "| 5 | arm=ppo seed=9 | the gradient is not finite " in text
    )  # exit code, overrides, error
    assert "| PPO | 1, 2 | arm=PPO | " in text  # seeds
    for grid in (
        contents.costs(report.costs),
        contents.differences(report.arms),
        contents.measures(report.arms),
    ):
        assert grid.rows
        assert markdown.table(grid) in text
    for picture in (picture for found in report.figures.values() for picture in found):
        assert markdown.safe(picture.alt) in text
        assert markdown.safe(picture.behind) in text
    for arm in LADDER:
        assert f"| {arm} | {arm} says 0 " in text  # its response
    assert "| baseline (sft) | sft says 0 |" in text
    assert "utility 0.50" in text


def test_markdown_of_a_model_stays_text() -> None:
    # A cell cannot end its row, begin a block or be a tag; lines stay apart.
    assert markdown.cell("# a | b\n<b>*c*</b> &lt;") == "# a \\| b<br>\\<b\\>\\*c\\*\\</b\\> \\&lt;"
