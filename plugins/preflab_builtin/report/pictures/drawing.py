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

WIDTH = 4.8
"""Of a picture, inches."""
LONGEST_LABEL = 32
_ACROSS = 54
"""Letters of an axis that fit across a picture."""
_LEGEND_ACROSS = 63
"""Letters of a legend that fit across a picture."""
MARK = 7.0
"""Width of a mark, points."""
_RIM = 4.0
"""By how much a mark is wider than the one that is drawn over it, points."""
_WIDEST_RIMS = 10.0
"""By how much the widest of many marks over one another is wider than the last, points."""
Limits = tuple[float, float]
"""The least and the greatest value that an axis shows."""
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
    axes: Axes,
    number: int | None,
    place: tuple[float, float],
    label: str | None = None,
    ms: float = MARK,
    **style: Any,
) -> None:
    """The mark of the arm with that number, at its values on both axes. ms: its width, points;
    style: its error bars and more, as `Axes.errorbar` takes them. Its interval is pale, since marks
    are read first, and under another mark as much wider as the mark is."""
    color, mark = style_of(number)
    text = None if label is None else label_text(label)
    pale = {"elinewidth": 1.2 * ms / MARK, "ecolor": (color, 0.45 if number is not None else 0.25)}
    style = {**pale, "zorder": 1 if number is None else 3, "ms": ms, **style}
    axes.errorbar(*place, fmt=mark, color=color, label=text, **style)


def legend_labels(arms: Sequence[Arm]) -> list[str | None]:
    """The name of each arm in the legend. Of the arms without a colour the first stands for all,
    and the others have no name."""
    faint = [arm for arm in arms if arm.number is None]
    rest = f"{len(faint)} other arms"
    return [
        arm.brief if arm.number is not None else rest if arm is faint[0] else None for arm in arms
    ]


def limits(values: Sequence[float]) -> Limits:
    """Of an axis that shows all values: points, and the ends of their intervals."""
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.1 * (abs(high) or 1.0)
    return low - margin, high + margin


def over_one_another(
    names: Sequence[str | None], places: Sequence[tuple[float, float]], x: Limits, y: Limits
) -> list[list[int]]:
    """The marks that would hide one another: groups of at least two at one place, or nearly so.
    names: of the marks; None: small and pale, it hides nothing. x, y: the limits of the axes."""
    scales = [points / abs(high - low) for (low, high), points in zip((x, y), _PANEL, strict=True)]
    groups: list[list[int]] = []
    for i, own in enumerate(places):
        if names[i] is None:
            continue
        near = [
            group
            for group in groups
            if any(_apart(own, places[k], scales) < MARK / 2 for k in group)
        ]
        merged = [*(k for group in near for k in group), i]
        groups = [group for group in groups if group not in near] + [merged]
    return [sorted(group) for group in groups if len(group) > 1]


def _apart(one: Sequence[float], other: Sequence[float], scales: Sequence[float]) -> float:
    return max(abs(a - b) * scale for a, b, scale in zip(one, other, scales, strict=True))


def sizes(marks: int, groups: Sequence[Sequence[int]]) -> list[float]:
    """Widths of marks that are drawn in their order, points: of those over one another the first is
    the widest, so that a rim of each is seen.

    >>> sizes(4, [[0, 2, 3]])
    [15.0, 7.0, 11.0, 7.0]
    """
    found = [MARK] * marks
    for group in groups:
        rim = min(_RIM, _WIDEST_RIMS / (len(group) - 1))
        for above, i in enumerate(reversed(group)):
            found[i] = MARK + above * rim
    return found


def at_one_place(names: Sequence[str | None], groups: Sequence[Sequence[int]]) -> str:
    """A sentence of a caption on marks that are drawn over one another; "" if none are.

    >>> at_one_place(["a", "b", "c"], [[0, 2]])
    'At one place, or nearly, the smaller mark over the larger: a under c.'
    """
    heaps = [" under ".join(plain(names[i] or "") for i in group) for group in groups]
    if not heaps:
        return ""
    return f"At one place, or nearly, the smaller mark over the larger: {'; '.join(heaps)}."


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
