"""What all pictures have in common: size, style, legend, error bars, labels that fit."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from preflab.interfaces import Measure
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.pictures.colors import GRID, INK, MUTED, PAPER, dark_css, style_of
from preflab_builtin.report.wording import plain, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Transform

WIDTH = 4.8
"""Of a picture, inches."""
LONGEST_LABEL = 32
_ACROSS = 54
"""Letters of an axis that fit across a picture."""
_LEGEND_ACROSS = 63
"""Letters of a legend that fit across a picture."""
MARK = 7.0
"""Width of a mark, points."""
BESIDE = "Marks at one place stand side by side."
_PANEL = (265.0, 190.0)
"""Width and height of what the axes enclose, points, about."""
_LEAST_ACROSS = 28
"""Letters of an axis that fit below rows with the longest labels."""
MANY_ROWS = 12
"""More rows of labels than this are lower, with smaller letters."""
_UP = 33
"""Letters of an axis that fit along its height."""


def svg(draw: Callable[[Axes], None], height: float = 3.5) -> bytes:
    """One panel of ``height`` inches, drawn without a window system and without changing
    matplotlib's global state. It has other colours on a dark page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(
        {
            "font.size": 10,
            "axes.labelsize": 10,
            "text.color": INK,
            "axes.labelcolor": INK,
            "text.parse_math": False,
            "svg.hashsalt": "preflab",  # the same picture is the same file
        }
    ):
        figure = Figure((WIDTH, height), dpi=72, layout="constrained", facecolor=PAPER)
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.06)  # type: ignore[union-attr, call-arg]
        axes = figure.add_subplot(facecolor=PAPER)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(MUTED)
        axes.tick_params(colors=MUTED, labelcolor=INK)
        axes.locator_params(nbins=6)
        axes.grid(visible=True, color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        draw(axes)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue().replace(b"</style>", f"{dark_css()}</style>".encode(), 1)


def name_axes(axes: Axes, x: str, y: str) -> None:
    """Titles of both axes, on several lines if they are long."""
    axes.set_xlabel(_lines(x, _ACROSS))
    axes.set_ylabel(_lines(y, _UP))


def name_rows(axes: Axes, labels: Sequence[str], x: str, margin: float) -> None:
    """One row per label, the first at the top, and the title of the axis below them.

    margin: from the first and the last row to the ends of the picture, in rows.
    """
    texts = [label_text(label) for label in labels]
    axes.set_yticks(range(len(texts)), texts, fontsize=10 if len(texts) <= MANY_ROWS else 7.5)
    axes.set_ylim(len(texts) - 1 + margin, -margin)
    axes.set_xlabel(_lines(x, max(_LEAST_ACROSS, _ACROSS - max(map(len, texts)))))
    axes.grid(visible=False, axis="y")


def rows_height(rows: int, each: float) -> float:
    """Inches that rows of labels take: ``each``, or half of it if there are many."""
    return rows * (each if rows <= MANY_ROWS else each / 2)


def draw_mark(
    axes: Axes, number: int | None, x: float, y: float, label: str | None = None, **style: Any
) -> None:
    """The mark of the arm with that number; style: its error bars and more, as `Axes.errorbar`
    takes them. Its interval is pale: marks are read first."""
    color, mark = style_of(number)
    text = None if label is None else label_text(label)
    pale = {"elinewidth": 1.2, "ecolor": (color, 0.45 if number is not None else 0.25)}
    style = {**pale, "zorder": 1 if number is None else 3, "ms": MARK, **style}
    axes.errorbar(x, y, fmt=mark, color=color, label=text, **style)


def legend_labels(arms: Sequence[Arm]) -> list[str | None]:
    """The name of each arm in the legend. Of the arms without a colour the first stands for all,
    and the others have no name."""
    faint = [arm for arm in arms if arm.number is None]
    rest = f"{len(faint)} other arms"
    return [
        arm.brief if arm.number is not None else rest if arm is faint[0] else None for arm in arms
    ]


def side_by_side(
    axes: Axes,
    numbers: Sequence[int | None],
    places: Sequence[Sequence[tuple[float, float]]],
    possible: tuple[float, float],
) -> list[Transform]:
    """Where the marks of each arm are drawn, so that none hides another: those of arms that have a
    place in common, or nearly so, stand beside each other, a mark's width apart. numbers: of the
    arms; places: of each arm's marks, the same number for all; possible: the least and most that x
    can be, beyond which no mark is moved. The limits must be set (`focus`)."""
    from matplotlib.transforms import ScaledTranslation

    ends = zip((axes.get_xlim(), axes.get_ylim()), _PANEL, strict=True)
    unit_x, unit_y = (points / abs(high - low) for (low, high), points in ends)
    groups: list[list[int]] = []
    for i, own in enumerate(places):
        if numbers[i] is None:  # small and pale: it hides nothing
            continue
        for group in groups:
            pairs = zip(own, places[group[0]], strict=True)
            apart = (max(abs(x - u) * unit_x, abs(y - v) * unit_y) for (x, y), (u, v) in pairs)
            if min(apart) < MARK / 2:
                group.append(i)
                break
        else:
            groups.append([i])
    shift = {i: (k - (len(g) - 1) / 2) * MARK for g in groups for k, i in enumerate(g)}
    rightwards = 1 if axes.get_xlim()[0] < axes.get_xlim()[1] else -1
    for group in groups:
        xs = [(places[i][0][0], rightwards * shift[i] / unit_x) for i in group]
        below = max(0.0, *(possible[0] - x - moved for x, moved in xs if x >= possible[0]))
        above = max(0.0, *(x + moved - possible[1] for x, moved in xs if x <= possible[1]))
        for i in group:
            shift[i] += rightwards * (below - above) * unit_x
    inches = axes.figure.dpi_scale_trans
    return [
        axes.transData + ScaledTranslation(shift.get(i, 0.0) / 72, 0, inches)
        for i in range(len(places))
    ]


def focus(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    """Limits that show all values: points, and the ends of their intervals."""
    for set_limits, values in ((axes.set_xlim, x), (axes.set_ylim, y)):
        low, high = min(values), max(values)
        margin = 0.06 * (high - low) or 0.1 * (abs(high) or 1.0)
        set_limits(low - margin, high + margin)


def ends(measure: Measure, scale: float = 1.0) -> list[float]:
    """A value and the ends of its interval, if it has one."""
    known = [measure.low, measure.high] if math.isfinite(measure.low) else []
    return [scale * value for value in (measure.value, *known)]


def legend(axes: Axes, labels: Sequence[str | None]) -> None:
    """Below the picture, where it hides no data."""
    axes.get_figure().legend(  # type: ignore[union-attr]
        frameon=False, fontsize=8.5, loc="outside lower center", ncols=_columns(labels)
    )


def legend_height(labels: Sequence[str | None]) -> float:
    """Inches that a legend with these entries takes."""
    return 0.2 * math.ceil(sum(label is not None for label in labels) / _columns(labels))


def _columns(labels: Sequence[str | None]) -> int:
    """Columns of a legend as wide as the picture, where each mark takes the place of six letters.

    >>> _columns(["PPO", "PPO-ptx"]), _columns(["an arm of twenty"])
    (3, 2)
    >>> _columns(["a label of thirty-one letters, no"])
    1
    """
    longest = max((len(label_text(label)) for label in labels if label is not None), default=1)
    return max(1, min(3, _LEGEND_ACROSS // (6 + longest)))


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
