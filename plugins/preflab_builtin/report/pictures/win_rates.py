"""Win rates with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from preflab_builtin.report.arms import Arm, opponent
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


def win_rates(arms: Sequence[Arm]) -> list[Picture]:
    """One picture per judge."""
    names = dict.fromkeys(name for arm in arms for name in arm.measures)
    return [_win_rate(arms, name) for name in names if name.startswith("win_rate/")]


def _win_rate(arms: Sequence[Arm], measure: str) -> Picture:
    rows = [(arm, arm.measures[measure]) for arm in arms if measure in arm.measures]
    against = opponent([arm for arm, _ in rows], measure)

    def draw(axes: Axes) -> None:
        axes.axvline(50, color=MUTED, lw=1, ls="--")
        size = 7 if len(rows) <= drawing.MANY_ROWS else 4
        for row, (arm, rate) in enumerate(rows):
            style: dict[str, Any] = {
                "xerr": drawing.error_bar(rate, 100.0),
                "elinewidth": size / 4,
                "ms": size,
            }
            place = (rate.value * 100, row)
            drawing.draw_mark(axes, arm.number, place, capsize=size / 3, **style)
        labels = [arm.brief for arm, _ in rows]
        x_title = f"Preferred to {against}, % of prompts (ties half)"
        drawing.name_rows(axes, labels, x_title, margin=0.5)

    values = "; ".join(f"{plain(arm.brief)} {measure_text(rate, True)}" for arm, rate in rows)
    drawn = tuple(with_measures(arm, [measure]) for arm, _ in rows)
    return Picture(
        f"Win rate against {against}, judge: {measure.partition('/')[2]}",
        drawing.svg(draw, drawing.rows_height(len(rows), 0.45) + 1.2),
        f"Win rate against {against}: {values}.",
        drawn,
        n_of(drawn, [measure]),
        csv_text(
            ("arm", "share preferred", "low", "high"),
            [(arm.label, *measure_cells(rate)) for arm, rate in rows],
        ),
        "Bars are 95 % intervals; the dashed line is a draw.",
    )
