"""Pictures, and the text next to them."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fake_study import results, study, write_run
from fake_sweep import fifty_runs, two_by_two
from preflab.interfaces import Measure
from preflab_builtin.report.arms import Arm, arms, presented
from preflab_builtin.report.gather import gather
from preflab_builtin.report.pictures import drawing
from preflab_builtin.report.pictures.colors import style_of
from preflab_builtin.report.pictures.curves import Curve, curves_picture
from preflab_builtin.report.pictures.drift import best_of_n, drift
from preflab_builtin.report.pictures.frontier import harmless_against_helpful
from preflab_builtin.report.pictures.learning import earlier_curves, learning_curves
from preflab_builtin.report.pictures.picture import Picture
from preflab_builtin.report.pictures.tax import reward_against_tax
from preflab_builtin.report.pictures.win_rates import win_rates

SVG = "{http://www.w3.org/2000/svg}"


def _points(element: ElementTree.Element) -> list[tuple[float, float]]:
    """The points of the paths below an element of an SVG."""
    paths = " ".join(path.get("d", "") for path in element.iter(f"{SVG}path"))
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", paths)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def test_pictures_show_what_their_text_says(tmp_path: Path) -> None:
    ladder = presented(arms(gather([study(tmp_path / "s")]).runs))
    pictures = [
        *reward_against_tax(ladder, {"RL": ["PPO", "PPO-ptx", "absent"]}),
        *win_rates(ladder),
        *learning_curves(ladder),
    ]
    # Utility, reward; win rate; reward, KL: 4.8 inches of 72 points.
    assert [ElementTree.fromstring(p.svg).get("width") for p in pictures] == ["345.6pt"] * 5
    assert "PPO-ptx: 84.0 %" in pictures[0].alt
    assert "PPO from" in pictures[3].alt
    assert "base" not in pictures[3].alt  # it has no algorithm
    assert all(b"prefers-color-scheme:dark" in picture.svg for picture in pictures)


def test_intervals_are_inside_the_frame() -> None:
    """B's interval is ten times as wide as the distance of the points."""
    measures = {
        label: {"reward/proxy": Measure(y, y - half, y + half, 9), "families/mean": Measure(x)}
        for label, x, y, half in (("A", 0.8, 1.0, 0.1), ("B", 0.9, 1.5, 5.0))
    }
    two = presented([Arm(label, (), (), own) for label, own in measures.items()])
    (picture,) = reward_against_tax(two, {})
    tree = ElementTree.fromstring(picture.svg)
    by_id = {element.get("id") or "": element for element in tree.iter()}
    frame = _points(by_id["patch_2"])
    left, right = min(x for x, _ in frame), max(x for x, _ in frame)
    top, bottom = min(y for _, y in frame), max(y for _, y in frame)
    drawn = [e for e in by_id["axes_1"].iter() if e.get("id", "").startswith("LineCollection")]
    bars = [point for element in drawn for point in _points(element)]
    assert len(bars) == 4  # two vertical bars
    assert all(left < x < right and top < y < bottom for x, y in bars)
    assert max(y for _, y in bars) - min(y for _, y in bars) > 0.8 * (bottom - top)


def _arm(label: str, number: int | None, x: float, y: float) -> Arm:
    """An arm with a mark in every picture of points."""
    values = {"families/mean": x, "reward/proxy": y, "gold/gold": y / 2, "kl/reference": x}
    return Arm(label, (), (), {name: Measure(v, n=9) for name, v in values.items()}, number)


def _marks(picture: Picture, color: str) -> list[float]:
    """Where the marks of a colour are, from left to right, without those of the legend."""
    by_id = {e.get("id") or "": e for e in ElementTree.fromstring(picture.svg).iter()}
    uses = [use for use in by_id["axes_1"].iter(f"{SVG}use") if color in (use.get("style") or "")]
    return sorted({round(float(use.get("x", 0)), 1) for use in uses})


def _widths(picture: Picture, color: str) -> list[float]:
    """How wide the marks of a colour are, points, in the order in which they are drawn."""
    by_id = {e.get("id") or "": e for e in ElementTree.fromstring(picture.svg).iter()}
    uses = [use for use in by_id["axes_1"].iter(f"{SVG}use") if color in (use.get("style") or "")]
    shapes = [_points(by_id["axes_1"].find(f".//*[@id='{_shape(use)}']/..")) for use in uses]  # type: ignore[arg-type]
    return [round(max(x for x, _ in shape) - min(x for x, _ in shape), 1) for shape in shapes]


def _shape(use: ElementTree.Element) -> str:
    return use.get("{http://www.w3.org/1999/xlink}href", "").removeprefix("#")


@pytest.mark.parametrize("x", [0.0, 0.5, 1.0])
def test_marks_at_one_place_stand_at_their_values_over_one_another(x: float) -> None:
    """B and C lie on A, D is elsewhere, and E has no number. A mark is 7 points wide, one under
    another 4 more: 15, 11 and 7."""
    at = [("A", 0, x, 1.0), ("B", 1, x, 1.0), ("C", 3, x, 1.001), ("D", 4, 0.7, 2.0)]
    many = [_arm(*one) for one in (*at, ("E", None, x, 1.0), ("F", None, x, 1.0))]
    colors = ["#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#b4bac2"]
    for picture in (*reward_against_tax(many, {}), *drift(many)):
        ((a,), (b,), (c,), (d,), (faint,)) = (_marks(picture, color) for color in colors)
        assert a == b == c == faint
        assert abs(d - b) > 50
        widest, middle, own, alone = (_widths(picture, color)[0] for color in colors[:-1])
        # Circle and square are as wide as their mark, the diamonds and triangles not quite.
        assert (widest, middle) == (15, 11)
        assert own < middle
        assert alone <= 7
    (picture,) = [p for p in reward_against_tax(many, {}) if "proxy" in p.csv]
    assert picture.caption.endswith("the smaller mark over the larger: A under B under C.")
    (picture,) = drift(many)
    assert "truth of A under truth of B under truth of C; proxy of A under" in picture.caption


def test_harm_is_drawn_against_help_and_so_is_the_worst_of_several() -> None:
    """Every mark is at its values; the line joins the arms of the series."""
    at = {"SFT": (0.5, -0.2), "guarded": (0.4, -0.1), "asked": (0.55, -0.05)}
    values = {
        label: {"gold/helpful": Measure(x, x - 0.1, x + 0.1, 9), "gold/harmless": Measure(y)}
        for label, (x, y) in at.items()
    }
    values["asked"]["gold/harmless_worst"] = Measure(-0.5)
    shown = presented([Arm(label, (), (), own) for label, own in values.items()])
    (picture,) = harmless_against_helpful(shown, {"guard": ["SFT", "guarded"]})
    assert [row.split(",")[0:2] for row in picture.csv.splitlines()[1:]] == [
        ["SFT", "-0.2"],
        ["guarded", "-0.1"],
        ["asked", "-0.05"],
    ]
    assert "asked: 0.55 (0.45 to 0.65) against -0.05" in picture.alt
    marks = [_marks(picture, color)[0] for color in ("#d55e00", "#0072b2", "#009e73")]
    assert marks == sorted(marks)  # guarded helps least, asked most
    values["SFT"]["gold/harmless_worst"] = Measure(-0.9)
    both = harmless_against_helpful(shown, {})
    assert both[1].title == "Worst of several against helpful"
    assert [len(p.arms) for p in both] == [3, 2]


@pytest.mark.parametrize(("arms_of_a_study", "numbered"), [(16, 16), (17, 8)])
def test_sixteen_arms_have_marks_of_their_own(arms_of_a_study: int, numbered: int) -> None:
    shown = presented([_arm(str(i), None, i, i) for i in range(arms_of_a_study)])
    styles = [style_of(arm.number) for arm in shown if arm.number is not None]
    assert len(set(styles)) == len(styles) == numbered


def test_a_caption_of_marks_that_are_apart_names_none() -> None:
    apart = [_arm("A", 0, 0.0, 1.0), _arm("D", 3, 1.0, 2.0), _arm("E", 4, 0.5, 1.5)]
    assert all("larger" not in p.caption for p in (*reward_against_tax(apart, {}), *drift(apart)))


def test_a_proxy_that_equals_the_truth_hides_it_not() -> None:
    """The hollow mark of A, 7 points, is drawn over the filled one, which is 11."""
    at = {"reward/proxy": 1.0, "gold/gold": 1.0, "kl/reference": 4.0}
    own = Arm("A", (), (), {name: Measure(v, n=9) for name, v in at.items()}, 0)
    (picture,) = drift([own, _arm("B", 1, 0.5, 3.0), _arm("C", 2, 0.7, 4.0)])
    assert _widths(picture, "#0072b2") == [11, 7]
    assert picture.caption.endswith("larger: truth of A under proxy of A.")


def test_marks_that_are_near_to_one_between_them_are_one_group() -> None:
    """The third is near both others, which are 5 of 265 points apart: it joins them."""
    places = [(0.0, 0.0), (5.0, 0.0), (2.5, 0.0), (50.0, 0.0)]
    marks = [*"abcd"]
    assert drawing.over_one_another(marks, places, (0, 265), (0, 190)) == [[0, 1, 2]]


def test_a_legend_has_as_many_columns_as_fit() -> None:
    """63 letters: twice 6 for the mark and 25 for the name are 62."""
    assert drawing.legend_height(["expert_iteration coef=0.04"[:25]] * 8) == pytest.approx(0.8)
    assert drawing.legend_height(["expert_iteration coef=0.04"] * 8) == pytest.approx(1.6)


def test_the_data_behind_a_picture_are_its_numbers(tmp_path: Path) -> None:
    ladder = presented(arms(gather([study(tmp_path / "s")]).runs))
    (_, tax), (rate,) = reward_against_tax(ladder, {}), win_rates(ladder)
    rows = list(csv.DictReader(io.StringIO(tax.csv)))
    assert [row["arm"] for row in rows] == [arm.label for arm in ladder]
    # PPO: 1.32 in every seed but for shifts of 0.02 that cancel; 70 % of the tasks.
    ppo = {key: float(value) for key, value in rows[3].items() if key != "arm"}
    assert ppo["reward/proxy"] == pytest.approx(1.32)
    assert ppo["families/mean"] == pytest.approx(0.7)
    assert ppo["reward/proxy low"] < 1.32 < ppo["reward/proxy high"]
    assert rate.csv.splitlines()[0] == "arm,share preferred,low,high"
    assert rate.file_name == "win-rate-against-sft-judge-labelers"


def test_of_many_arms_eight_have_a_colour_and_the_rest_one_entry(tmp_path: Path) -> None:
    many = presented(arms(gather([fifty_runs(tmp_path)]).runs))
    assert sorted(arm.number for arm in many if arm.number is not None) == list(range(8))
    labels = drawing.legend_labels(sorted(many, key=lambda arm: arm.number is None))
    # Short: without the keys above the last, and components without their key.
    assert labels[0] == "ppo coef=0.01"
    assert labels[8:10] == ["42 other arms", None]
    (win_rate, _) = win_rates(many)
    assert "ppo coef=0.01" in win_rate.alt  # the name that the tables and the legend use
    assert "algorithm.kl.coef" not in win_rate.alt
    assert win_rate.behind == "50 arms, seed 1; n per run: 200 (win_rate/held_out)."


def test_earlier_stages_are_one_curve_where_arms_share_them(tmp_path: Path) -> None:
    pair = presented(arms(gather([two_by_two(tmp_path)]).runs))
    pictures = earlier_curves(pair)
    assert [picture.title for picture in pictures] == [
        "Pretraining loss, nats per token",
        "SFT loss, nats per token",
        "Loss of the reward model",
        "Pairs ordered right, share",
    ]
    _, sft, _, accuracy = pictures
    assert sft.behind == "All arms, which share it; seeds 1, 2; n per run: 300 steps."
    assert "on validation records" in sft.alt
    rows = list(csv.DictReader(io.StringIO(accuracy.csv)))
    checked = [row for row in rows if row["records"] == "validation"]
    # Two seeds, after steps 100, 200 and 300 (counted from 0).
    assert [(row["seed"], row["step"]) for row in checked] == [
        (seed, step) for seed in "12" for step in ("99", "199", "299")
    ]
    # 300 steps are more than a picture needs: every second one is drawn, and the last.
    drawn = [row for row in rows if row["records"] == "training" and row["seed"] == "1"]
    assert len(drawn) == 151


def test_a_figure_names_the_runs_that_it_shows_and_no_others(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", seeds=(1, 2))
    # SFT has a third run; one arm and one run were not judged at all.
    write_run(folder / "99", "SFT", 7, ["arm=SFT", "seed=7"], {**results("SFT", 0.0), "n": 9})
    for path in folder.glob("*/manifest.json"):
        manifest = json.loads(path.read_text())
        if manifest["arm"] == "base" or (manifest["arm"], manifest["seed"]) == ("PPO", 2):
            path.with_name("summary.json").write_text("{}")
    (picture,) = win_rates(arms(gather([folder]).runs))
    assert picture.behind == (
        "SFT: seeds 1, 2, 7; best-of-n: seeds 1, 2; PPO: seed 1; PPO-ptx: seeds 1, 2; "
        "n per run: 400 (win_rate/labelers)."
    )


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


def test_curves_that_are_wholly_the_same_show_dashes_of_each(tmp_path: Path) -> None:
    ppo = next(a for a in arms(gather([study(tmp_path / "s")]).runs) if a.label == "PPO")
    alike = [replace(ppo, label=label, number=i) for i, label in enumerate("ABC")]
    for picture in learning_curves(alike):
        assert picture.caption.endswith("Wholly the same, with dashes of each: A, B, C.")
        tree = ElementTree.fromstring(picture.svg)
        styles = " ".join(path.get("style") or "" for path in tree.iter(f"{SVG}path"))
        # Of three, a dash is 3 widths of its line of 2 points, with room for one of each other.
        for color, begins in (("#d55e00", 0), ("#009e73", 6)):
            dashes = f"stroke-dasharray: 6,12; stroke-dashoffset: {begins}; stroke: {color}"
            assert dashes in styles
        assert not re.search(
            r"stroke-dasharray: [\d.,]+; stroke-dashoffset: \d+; stroke: #0072b2", styles
        )
    (one, *_) = learning_curves(alike[:1])
    assert "same" not in one.caption


def test_curves_that_differ_at_one_step_are_whole_lines(tmp_path: Path) -> None:
    """Half a percent of what is shown, here 0.005, is covered; 0.02 at one step is not."""
    ppo = next(a for a in arms(gather([study(tmp_path / "s")]).runs) if a.label == "PPO")
    own = [replace(ppo, runs=ppo.runs[:1], label=label, number=i) for i, label in enumerate("ABC")]
    series = [{0: 0.0, 1: 0.5, 2: 1.0}, {0: 0.0, 1: 0.504, 2: 1.0}, {0: 0.0, 1: 0.52, 2: 1.0}]
    drawn = [Curve(arm, (one,), ({},), (3,)) for arm, one in zip(own, series, strict=True)]
    assert curves_picture(drawn, "KL", "Step").caption == (
        "Wholly the same, with dashes of each: A, B."
    )
    assert "same" not in curves_picture(drawn[1:], "KL", "Step").caption
