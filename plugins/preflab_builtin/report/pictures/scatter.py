"""Arms as marks: one measure against another, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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


@dataclass(frozen=True)
class Side:
    """What an axis shows. title: with the unit; percent: the measure is a share; downwards: less is
    better, so that the axis is reversed."""

    measure: str
    title: str
    percent: bool = False
    downwards: bool = False

    @property
    def scale(self) -> float:
        """What its values are multiplied by."""
        return 100.0 if self.percent else 1.0

    def limits(self, arms: Sequence[Arm]) -> drawing.Limits:
        """The ends of the axis, which shows every value and its interval."""
        measures = [arm.measures[self.measure] for arm in arms]
        found = drawing.limits([end for m in measures for end in drawing.ends(m, self.scale)])
        return (found[1], found[0]) if self.downwards else found


def scatter(
    arms: Sequence[Arm], x: Side, y: Side, series: Mapping[str, Sequence[str]], title: str, how: str
) -> list[Picture]:
    """One picture of the arms that have both measures; none of fewer than two. series: labels of
    arms that a line joins, by name; how: to read it, a sentence of the caption."""
    arms = [arm for arm in arms if {x.measure, y.measure} <= set(arm.measures)]
    if len(arms) < 2:
        return []
    labels = drawing.legend_labels(arms)
    own = [
        (arm.measures[x.measure].value * x.scale, arm.measures[y.measure].value * y.scale)
        for arm in arms
    ]
    places = {in_order(arm.label): place for arm, place in zip(arms, own, strict=True)}
    limits = x.limits(arms), y.limits(arms)
    names = [arm.brief if arm.number is not None else None for arm in arms]
    heaps = drawing.over_one_another(names, own, *limits)
    sizes = drawing.sizes(len(own), heaps)

    def draw(axes: Axes) -> None:
        for style, (name, members) in zip(LINES, series.items(), strict=False):
            line = [places[member] for member in map(in_order, members) if member in places]
            name = drawing.label_text(name)
            xs, ys = [at for at, _ in line], [at for _, at in line]
            axes.plot(xs, ys, ls=style, color=MUTED, lw=1.3, zorder=1, label=name)
        drawing.name_axes(axes, x.title, y.title)
        axes.set(xlim=limits[0], ylim=limits[1])
        for arm, label, place, size in zip(arms, labels, own, sizes, strict=True):
            errors = {
                "xerr": drawing.error_bar(arm.measures[x.measure], x.scale),
                "yerr": drawing.error_bar(arm.measures[y.measure], y.scale),
            }
            drawing.draw_mark(axes, arm.number, place, label, size, **errors)
        drawing.legend(axes, [*series, *labels])

    values = "; ".join(
        f"{plain(arm.brief)}: {measure_text(arm.measures[x.measure], x.percent)} against "
        f"{measure_text(arm.measures[y.measure], y.percent)}"
        for arm in arms
    )
    both = (y.measure, x.measure)
    drawn = tuple(with_measures(arm, both) for arm in arms)
    head = ["arm", *(f"{name}{of}" for name in both for of in ("", " low", " high"))]
    rows = [
        (arm.label, *(cell for name in both for cell in measure_cells(arm.measures[name])))
        for arm in arms
    ]
    return [
        Picture(
            title,
            drawing.svg(draw, 3.2 + drawing.legend_height([*series, *labels])),
            f"Scatter of {y.title.lower()} (up) against {x.title.lower()} (right). {values}.",
            drawn,
            n_of(drawn, both),
            csv_text(head, rows),
            f"{how}; bars are 95 % intervals. {drawing.at_one_place(names, heaps)}".rstrip(),
        )
    ]
