"""The claims of a study with the intervals that decide them, in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from preflab.study import Verdict
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.pictures import drawing
from preflab_builtin.report.pictures.colors import COLORS, FAINT, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOR = {Verdict.holds: COLORS[0], Verdict.fails: COLORS[1]}
_MARK = {Verdict.holds: "o", Verdict.fails: "s"}
SHOWN = "Difference, as claimed, in halves of its interval"
"""What the axis of the picture shows."""


def verdicts_svg(decisions: Sequence[Decision]) -> bytes | None:
    """One row per claim that has an interval: how far its difference lies from its margin in the
    direction that the claim has, in halves of the width of the interval that decides. All intervals
    are then equally long, and what does not touch the line is decided. None if no claim has one."""
    rows = [(d, at) for d in decisions if (at := place(d)) is not None]
    if not rows:
        return None

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=MUTED, lw=1, ls="--")
        for row, (decision, at) in enumerate(rows):
            color = _COLOR.get(decision.verdict, FAINT)
            mark = _MARK.get(decision.verdict, "D")
            axes.errorbar(at, row, xerr=1, fmt=mark, color=color, ms=6, elinewidth=2)
        names = [decision.name.replace("_", " ") for decision, _ in rows]
        drawing.name_rows(axes, names, SHOWN, margin=0.5)

    return drawing.svg(draw, drawing.rows_height(len(rows), 0.4) + 1.1)


def place(decision: Decision) -> float | None:
    """The difference in halves of the interval's width: beyond 1 the claim holds, below -1 it
    fails."""
    deciding = decision.for_looks or decision.estimate
    if deciding is None or not math.isfinite(deciding.low):
        return None
    half = (deciding.high - deciding.low) / 2
    direction = 1 if decision.claim.more else -1
    beyond = direction * deciding.value - decision.claim.margin
    return beyond / half if half > 0 else None
