"""Over-optimisation: what the reward model says and what is true, against the drift from the
reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from preflab.interfaces import Measure
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.pictures import drawing
from preflab_builtin.report.pictures.colors import MUTED, PAPER, style_of
from preflab_builtin.report.pictures.picture import (
    Cell,
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

_PROXY, _TRUE = "reward/proxy", "gold/gold"
_Point = tuple[Arm, float, Measure, Measure]
"""Arm, square root of KL, proxy reward, true utility."""
_CurvePoint = tuple[int, float, float, float]
"""n, square root of its KL bound, proxy reward, true utility."""


def drift(arms: Sequence[Arm]) -> list[Picture]:
    """Proxy reward and true utility against the square root of KL: where they part, the reward is
    gamed (Gao et al. 2023). For best-of-n the KL is its bound, as an arm and as the curve over n.
    At most one picture."""
    points = [
        (arm, math.sqrt(max(0.0, kl.value)), arm.measures[_PROXY], arm.measures[_TRUE])
        for arm in arms
        if (kl := arm.measures.get("kl/reference") or arm.measures.get("kl/bound"))
        and {_PROXY, _TRUE} <= set(arm.measures)
    ]
    sampled = next((arm for arm in arms if best_of_n(arm)), None)
    curve = [] if sampled is None else best_of_n(sampled)
    if len(points) + len(curve) < 3:
        return []
    labels = drawing.legend_labels([arm for arm, *_ in points])
    if curve:
        labels.append(f"best of 1 to {curve[-1][0]}")
    values = [
        f"{plain(arm.label)} at {x:.2f}: proxy {measure_text(proxy)}, truth {measure_text(true)}"
        for arm, x, proxy, true in points
    ]
    values += [f"best of {n} at {x:.2f}: proxy {p:.2f}, truth {g:.2f}" for n, x, p, g in curve]
    measures = [_PROXY, _TRUE, "kl/reference", "kl/bound"]
    if curve:
        measures.append(f"best_of/{curve[-1][0]}/gold")
    # The curve is that of one arm, which need not have a point of its own.
    labelled = {arm.label for arm, *_ in points}
    shown = [arm for arm in arms if arm is sampled or arm.label in labelled]
    drawn = tuple(with_measures(arm, measures) for arm in shown)
    title = "Proxy and true utility against drift"
    return [
        Picture(
            title,
            drawing.svg(
                lambda axes: _draw(axes, points, curve, labels),
                3.2 + drawing.legend_height(labels),
            ),
            f"{'; '.join([f'{title} (square root of KL)', *values])}.",
            drawn,
            n_of(drawn, measures),
            csv_text(
                ("arm", "square root of KL", "of", "value", "low", "high"), _rows(points, curve)
            ),
            "Hollow: what the reward model says. Filled: what is true. Where only the first rises, "
            f"the reward is gamed. {drawing.BESIDE}",
        )
    ]


def _rows(points: Sequence[_Point], curve: Sequence[_CurvePoint]) -> Iterator[tuple[Cell, ...]]:
    for arm, x, proxy, true in points:
        yield arm.label, x, _PROXY, *measure_cells(proxy)
        yield arm.label, x, _TRUE, *measure_cells(true)
    for n, x, proxy_value, true_value in curve:
        yield f"best of {n}", x, _PROXY, proxy_value, None, None
        yield f"best of {n}", x, _TRUE, true_value, None, None


def _draw(
    axes: Axes,
    points: Sequence[_Point],
    curve: Sequence[_CurvePoint],
    labels: Sequence[str | None],
) -> None:
    shown = [value for *_, proxy, _ in points for value in drawing.ends(proxy)]
    shown += [value for *_, true in points for value in drawing.ends(true)]
    shown += [value for *_, proxy, true in curve for value in (proxy, true)]
    drawing.focus(axes, [*(x for _, x, *_ in points), *(x for _, x, *_ in curve)], shown)
    places = [[(x, proxy.value), (x, true.value)] for _, x, proxy, true in points]
    numbers, possible = [arm.number for arm, *_ in points], (0.0, math.inf)
    beside = drawing.side_by_side(axes, numbers, places, possible)
    for (arm, x, proxy, true), label, where in zip(points, labels, beside, strict=False):
        number, ends = arm.number, [proxy.value, true.value]
        color, _ = style_of(number)
        error, true_error = drawing.error_bar(proxy), drawing.error_bar(true)
        axes.plot([x, x], ends, color=color, lw=0.8, alpha=0.5, transform=where)
        filled: dict[str, Any] = {"label": label, "yerr": true_error, "transform": where}
        drawing.draw_mark(axes, number, x, true.value, **filled)
        drawing.draw_mark(axes, number, x, proxy.value, mfc=PAPER, yerr=error, transform=where)
    if curve:
        style: dict[str, Any] = {"ls": "--", "marker": ".", "color": MUTED, "lw": 1.3}
        _, xs, proxies, trues = zip(*curve, strict=True)
        axes.plot(xs, trues, label=labels[-1], **style)
        axes.plot(xs, proxies, mfc=PAPER, **style)
    drawing.name_axes(
        axes,
        "Square root of KL to the reference, nats",
        "Proxy (hollow), true utility (filled)",
    )
    drawing.legend(axes, labels)


def best_of_n(arm: Arm) -> list[_CurvePoint]:
    """The arm's best-of-n curve: (n, square root of its KL bound, proxy, true utility), n
    ascending."""
    curve = []
    for name, kl in arm.measures.items():
        n = name.removeprefix("best_of/").removesuffix("/kl")
        proxy, true = (arm.measures.get(f"best_of/{n}/{of}") for of in ("reward", "gold"))
        if name == f"best_of/{n}/kl" and n.isdecimal() and proxy and true:
            curve.append((int(n), math.sqrt(max(0.0, kl.value)), proxy.value, true.value))
    return sorted(curve)
