"""Pictures, and the text next to them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from fake_study import results, study, write_run
from preflab.interfaces import Measure
from preflab_builtin.report.arms import Arm, arms
from preflab_builtin.report.gather import gather
from preflab_builtin.report.pictures.drift import best_of_n, drift
from preflab_builtin.report.pictures.learning import learning_curves
from preflab_builtin.report.pictures.picture import Picture
from preflab_builtin.report.pictures.tax import reward_against_tax
from preflab_builtin.report.pictures.win_rates import win_rates


def _width(picture: Picture) -> int:
    assert picture.png.startswith(b"\x89PNG\r\n\x1a\n")
    return int(struct.unpack(">I", picture.png[16:20])[0])


def test_pictures_show_what_their_text_says(tmp_path: Path) -> None:
    ladder = arms(gather([study(tmp_path / "s")]).runs)
    pictures = [
        *reward_against_tax(ladder, {"RL": ["PPO", "PPO-ptx", "absent"]}),
        *win_rates(ladder),
        *learning_curves(ladder),
    ]
    # Utility, reward; win rate; reward, KL: 5.2 inches at 150 dots per inch.
    assert list(map(_width, pictures)) == [780] * 5
    assert "PPO-ptx: 84.0 %" in pictures[0].alt
    assert "PPO from" in pictures[3].alt
    assert "base" not in pictures[3].alt  # it has no algorithm


def test_a_figure_names_the_runs_that_it_shows_and_no_others(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", seeds=(1, 2))
    # SFT has a third run; one arm and one run were not judged at all; the commands differ.
    write_run(folder / "99", "SFT", 7, ["arm=SFT", "seed=7"], {**results("SFT", 0.0), "n": 9})
    for path in folder.glob("*/manifest.json"):
        manifest = json.loads(path.read_text())
        command = ["preflab", f"arm={manifest['arm']}"]
        path.write_text(json.dumps({**manifest, "command": command}))
        if manifest["arm"] == "base" or (manifest["arm"], manifest["seed"]) == ("PPO", 2):
            path.with_name("summary.json").write_text("{}")
    (picture,) = win_rates(arms(gather([folder]).runs))
    assert picture.behind == (
        "SFT: seeds 1, 2, 7; best-of-n: seeds 1, 2; PPO: seed 1; PPO-ptx: seeds 1, 2; "
        "n per run: 400 (win_rate/labelers)."
    )
    commands = [f"preflab arm={name}" for name in ("SFT", "best-of-n", "PPO", "PPO-ptx")]
    assert picture.command == "; ".join(commands)


def test_curves_of_a_log_without_the_metric_are_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "0", "SFT", 1, [], results("SFT", 0.0))
    assert learning_curves(arms(gather([tmp_path]).runs)) == []


def test_judgements_while_it_trains_are_curves_of_each_evaluator(tmp_path: Path) -> None:
    write_run(tmp_path / "0", "PPO", 1, [], results("PPO", 0.0))
    rows = [
        {"stage": "algorithm", "step": 0, "objective/kl": 0.0},
        {"stage": "algorithm", "step": 1, "watch/gold/gold": 0.5, "watch/gold/helpful": 0.1},
        {"stage": "algorithm", "step": 3, "watch/gold/gold": 0.7, "watch/length/tokens": 3.0},
        {"stage": "algorithm", "step": 5, "watch/gold/gold": 0.6, "watch/length/tokens": 4.0},
    ]
    (tmp_path / "0" / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    pictures = learning_curves(arms(gather([tmp_path]).runs))
    # The first measure of an evaluator; its parts would fill the page.
    titles = ["gold/gold on held-out prompts", "length/tokens on held-out prompts"]
    assert [picture.title for picture in pictures] == titles
    assert "PPO from 0.50 to 0.60" in pictures[0].alt
    assert "n per run: 3 steps" in pictures[0].behind


def test_best_of_n_is_a_curve_over_n_in_its_order() -> None:
    # n = 1, 4, 16 with KL log n - (n - 1) / n = 0, 0.636, 1.835. Measures are in the order of their
    # names: 16 before 4.
    values = {"kl": (0.0, 1.835, 0.636), "reward": (0.0, 0.8, 0.6), "gold": (0.4, 0.44, 0.53)}
    measures = {
        f"best_of/{n}/{of}": Measure(v[i])
        for of, v in values.items()
        for i, n in enumerate((1, 16, 4))
    }
    arm = Arm("A", (), (), measures)
    assert best_of_n(arm) == [
        (1, 0.0, 0.0, 0.4),
        (4, pytest.approx(0.797, abs=1e-3), 0.6, 0.53),
        (16, pytest.approx(1.355, abs=1e-3), 0.8, 0.44),
    ]
    (picture,) = drift([arm])
    assert "best of 16 at 1.35: proxy 0.80, truth 0.44" in picture.alt
    # Without the true utility there is no curve.
    assert best_of_n(Arm("B", (), (), {"best_of/4/kl": Measure(1.0)})) == []
