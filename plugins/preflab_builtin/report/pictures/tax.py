"""Reward against the alignment tax: what the arms gain, and what they keep of pretraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from preflab.interfaces import Measure
from preflab_builtin.report.arms import Arm, in_order
from preflab_builtin.report.pictures import drawing
from preflab_builtin.report.pictures.colors import MUTED
from preflab_builtin.report.pictures.picture import (
    Picture,
    csv_text,
    measure_cells,
    measure_text,
    n_of,
    with_measures,
)
from preflab_builtin.report.wording import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = ("-", "--", ":", "-.")
_GAINS = {
    "gold/gold": "True utility (simulated)",
    "reward/proxy": "Reward by the reward model",
}
_TAXES = {
    "families/mean": "Pretraining tasks answered right, %",
    "document_loss/all": "Loss on held-out text, nats per token (axis reversed)",
}


def reward_against_tax(arms: Sequence[Arm], series: Mapping[str, Sequence[str]]) -> list[Picture]:
    """One picture per gain, the true one and the reward model's. series: arms that a line joins."""
    measured = {name for arm in arms for name in arm.measures}
    tax = next((tax for tax in _TAXES if tax in measured), None)
    if tax is None:
        return []
    pictures = []
    for gain in _GAINS:
        points = [
            (arm, arm.measures[tax], arm.measures[gain])
            for arm in arms
            if {tax, gain} <= set(arm.measures)
        ]
        if len(points) >= 2:
            pictures.append(_scatter(points, gain, tax, series))
    return pictures


def _scatter(
    points: Sequence[tuple[Arm, Measure, Measure]],
    gain: str,
    tax: str,
    series: Mapping[str, Sequence[str]],
) -> Picture:
    title, x_title = _GAINS[gain], _TAXES[tax]
    percent = tax == "families/mean"
    scale = 100.0 if percent else 1.0
    labels = drawing.legend_labels([arm for arm, *_ in points])
    own = [(x.value * scale, y.value) for _, x, y in points]
    places = {in_order(arm.label): place for (arm, *_), place in zip(points, own, strict=True)}
    x_limits = drawing.limits([end for _, x, _ in points for end in drawing.ends(x, scale)])
    y_limits = drawing.limits([end for *_, y in points for end in drawing.ends(y)])
    names = [arm.brief if arm.number is not None else None for arm, *_ in points]
    heaps = drawing.over_one_another(names, own, x_limits, y_limits)
    sizes = drawing.sizes(len(own), heaps)

    def draw(axes: Axes) -> None:
        for style, (name, members) in zip(LINES, series.items(), strict=False):
            line = [places[member] for member in map(in_order, members) if member in places]
            name = drawing.label_text(name)
            xs, ys = [x for x, _ in line], [y for _, y in line]
            axes.plot(xs, ys, ls=style, color=MUTED, lw=1.3, zorder=1, label=name)
        drawing.name_axes(axes, x_title, title)
        axes.set(xlim=x_limits if percent else x_limits[::-1], ylim=y_limits)
        for (arm, x, y), label, place, size in zip(points, labels, own, sizes, strict=True):
            errors = {"xerr": drawing.error_bar(x, scale), "yerr": drawing.error_bar(y)}
            drawing.draw_mark(axes, arm.number, place, label, size, **errors)
        drawing.legend(axes, [*series, *labels])

    values = "; ".join(
        f"{plain(arm.brief)}: {measure_text(x, percent)} against {measure_text(y)}"
        for arm, x, y in points
    )
    drawn = tuple(with_measures(arm, (gain, tax)) for arm, *_ in points)
    head = ["arm", *(f"{name}{of}" for name in (gain, tax) for of in ("", " low", " high"))]
    rows = [(arm.label, *measure_cells(y), *measure_cells(x)) for arm, x, y in points]
    return Picture(
        f"{title} against the alignment tax",
        drawing.svg(draw, 3.2 + drawing.legend_height([*series, *labels])),
        f"Scatter of {title.lower()} (up) against {x_title.lower()} (right). {values}.",
        drawn,
        n_of(drawn, (gain, tax)),
        csv_text(head, rows),
        "Up is more reward, right is less alignment tax; bars are 95 % intervals. "
        f"{drawing.at_one_place(names, heaps)}".rstrip(),
    )
