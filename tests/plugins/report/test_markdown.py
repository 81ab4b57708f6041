"""The Markdown file."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest

from fake_study import LADDER, study
from preflab_builtin.report import contents, markdown
from preflab_builtin.report.build import build_report

pytestmark = pytest.mark.slow


def test_markdown_says_what_the_page_says(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", seeds=(1, 2))
    for i, path in enumerate(sorted(folder.glob("*/manifest.json"))):
        manifest = json.loads(path.read_text()) | {"command": ["preflab", "-cn", "ladder"]}
        path.write_text(json.dumps(manifest))
        (path.parent / ".hydra").mkdir()
        config = f"{{algorithm: {{kl: {{coef: {i}}}}}}}"
        (path.parent / ".hydra" / "config.yaml").write_text(config)
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
    # Exit code, overrides, error; then seeds.
    assert "| 5 | arm=ppo seed=9 | the gradient is not finite " in text
    assert "| PPO | 1, 2 | arm=PPO | " in text
    for grid in (
        contents.costs(report.costs),
        contents.differences(report.arms),
        contents.measures(report.arms),
    ):
        assert grid.rows
        assert markdown.table(grid) in text
    for picture in (picture for pictures in report.figures.values() for picture in pictures):
        assert markdown.safe(picture.alt) in text
        assert markdown.safe(picture.behind) in text
    for arm in LADDER:
        assert f"| {arm} | {arm} says 0 " in text  # its response
    assert "| baseline (sft) | sft says 0 |" in text
    assert "utility 0.50" in text


def test_the_text_of_a_model_stays_text() -> None:
    # A cell cannot end its row, begin a block or be a tag; lines stay apart.
    expected = "# a \\| b<br>\\<b\\>\\*c\\*\\</b\\> \\&lt;"
    assert markdown.cell("# a | b\n<b>*c*</b> &lt;") == expected
