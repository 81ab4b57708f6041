"""What all pictures have in common: size, style, legend, error bars, labels that fit."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from preflab.interfaces import Measure
from preflab_builtin.report.pictures.picture import style_of
from preflab_builtin.report.wording import plain, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MUTED, _GRID = "#5b6470", "#e3e6ea"
LONGEST_LABEL = 32
_ACROSS = 60
"""Letters of an axis or of a legend that fit across a picture."""
_UP = 37
"""Letters of an axis that fit along its height."""


def png(draw: Callable[[Axes], None], height: float = 3.5) -> bytes:
    """One panel of ``height`` inches, drawn without a window system and without changing
    matplotlib's global state."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({"font.size": 10.5, "axes.labelsize": 10, "text.parse_math": False}):
        figure = Figure(figsize=(5.2, height), dpi=150, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(MUTED)
        axes.tick_params(colors=MUTED, labelcolor="#20262e")
        axes.grid(visible=True, color=_GRID, lw=0.8)
        axes.set_axisbelow(True)
        draw(axes)
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
    return stream.getvalue()


def name_axes(axes: Axes, x: str, y: str) -> None:
    """Titles of both axes, on several lines if they are long."""
    axes.set_xlabel(_lines(x, _ACROSS))
    axes.set_ylabel(_lines(y, _UP))


def name_rows(axes: Axes, labels: Sequence[str], x: str, margin: float) -> None:
    """One row per label, the first at the top, and the title of the axis below them.

    margin: from the first and the last row to the ends of the picture, in rows.
    """
    texts = [label_text(label) for label in labels]
    axes.set_yticks(range(len(texts)), texts)
    axes.set_ylim(len(texts) - 1 + margin, -margin)
    axes.set_xlabel(_lines(x, _ACROSS - max(map(len, texts))))
    axes.grid(visible=False, axis="y")


def draw_mark(
    axes: Axes, number: int, x: float, y: float, label: str | None = None, **style: Any
) -> None:
    """The mark of the arm with that number; style: its error bars and more, as `Axes.errorbar`
    takes them."""
    color, mark = style_of(number)
    text = None if label is None else label_text(label)
    style = {"elinewidth": 1.1, **style}
    axes.errorbar(x, y, fmt=mark, color=color, ms=8, label=text, **style)


def focus(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Limits that show the points; an interval that is much wider than their range leaves the
    picture."""
    for set_limits, values in (
        (axes.set_xlim, [x for x, _ in points]),
        (axes.set_ylim, [y for _, y in points]),
    ):
        low, high = min(values), max(values)
        margin = 0.18 * (high - low) or 0.1 * (abs(high) or 1.0)
        set_limits(low - margin, high + margin)


def legend(axes: Axes, labels: Sequence[str]) -> None:
    """Below the picture, where it hides no data."""
    axes.get_figure().legend(  # type: ignore[union-attr]
        frameon=False, fontsize=8.5, loc="outside lower center", ncols=_columns(labels)
    )


def legend_height(labels: Sequence[str]) -> float:
    """Inches that a legend with these entries takes."""
    return 0.2 * math.ceil(len(labels) / _columns(labels))


def _columns(labels: Sequence[str]) -> int:
    """Columns of a legend as wide as the picture, where each mark takes the place of six letters.

    >>> _columns(["PPO", "PPO-ptx"]), _columns(["algorithm.episodes=10240"])
    (3, 2)
    >>> _columns(["a label of thirty-one letters, no"])
    1
    """
    longest = max((len(label_text(label)) for label in labels), default=1)
    return max(1, min(3, _ACROSS // (6 + longest)))


def error_bar(measure: Measure, scale: float = 1.0) -> list[list[float]] | None:
    """Distances from a value to the ends of its interval, as matplotlib wants them."""
    if math.isnan(measure.low):
        return None
    below, above = measure.value - measure.low, measure.high - measure.value
    return [[max(0.0, below) * scale], [max(0.0, above) * scale]]


def _lines(title: str, width: int) -> str:
    """A title on several lines if it is long; the unit, after a comma, is on a line of its own."""
    if len(title) <= width:
        return title
    name, comma, unit = title.partition(", ")
    return "\n".join([*textwrap.wrap(f"{name}{comma}", width), *textwrap.wrap(unit, width)])


def label_text(label: str) -> str:
    """A label that fits; matplotlib would hide one that begins with an underscore."""
    text = shortened(plain(label), LONGEST_LABEL)
    return f" {text}" if text.startswith("_") else text
