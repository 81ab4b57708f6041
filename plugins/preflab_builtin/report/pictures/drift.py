"""Over-optimisation: what the reward model says and what is true, against the drift from the
reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Mark:
    """place: square root of KL, value. name: in the caption; None: it is one of many."""

    arm: Arm
    place: tuple[float, float]
    measure: Measure
    name: str | None
    hollow: bool


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
        f"{plain(arm.brief)} at {x:.2f}: proxy {measure_text(proxy)}, truth {measure_text(true)}"
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
    marks = _marks(points)
    names = [mark.name for mark in marks]
    limits = _limits(points, curve)
    heaps = drawing.over_one_another(names, [mark.place for mark in marks], *limits)
    sizes = drawing.sizes(len(marks), heaps)
    return [
        Picture(
            title,
            drawing.svg(
                lambda axes: _draw(axes, marks, sizes, curve, labels, limits),
                3.2 + drawing.legend_height(labels),
            ),
            f"{'; '.join([f'{title} (square root of KL)', *values])}.",
            drawn,
            n_of(drawn, measures),
            csv_text(
                ("arm", "square root of KL", "of", "value", "low", "high"), _rows(points, curve)
            ),
            "Hollow: what the reward model says. Filled: what is true. Where only the first rises, "
            f"the reward is gamed. {drawing.at_one_place(names, heaps)}".rstrip(),
        )
    ]


def _rows(points: Sequence[_Point], curve: Sequence[_CurvePoint]) -> Iterator[tuple[Cell, ...]]:
    for arm, x, proxy, true in points:
        yield arm.label, x, _PROXY, *measure_cells(proxy)
        yield arm.label, x, _TRUE, *measure_cells(true)
    for n, x, proxy_value, true_value in curve:
        yield f"best of {n}", x, _PROXY, proxy_value, None, None
        yield f"best of {n}", x, _TRUE, true_value, None, None


def _marks(points: Sequence[_Point]) -> list[_Mark]:
    """The marks of all arms in the order in which they are drawn: of each, what is true, then what
    the reward model says."""
    return [
        _Mark(arm, (x, measure.value), measure, name if arm.number is not None else None, hollow)
        for arm, x, proxy, true in points
        for measure, name, hollow in (
            (true, f"truth of {arm.brief}", False),
            (proxy, f"proxy of {arm.brief}", True),
        )
    ]


def _limits(
    points: Sequence[_Point], curve: Sequence[_CurvePoint]
) -> tuple[drawing.Limits, drawing.Limits]:
    ys = [end for *_, proxy, true in points for of in (proxy, true) for end in drawing.ends(of)]
    ys += [value for *_, proxy, true in curve for value in (proxy, true)]
    xs = [*(x for _, x, *_ in points), *(x for _, x, *_ in curve)]
    return drawing.limits(xs), drawing.limits(ys)


def _draw(
    axes: Axes,
    marks: Sequence[_Mark],
    sizes: Sequence[float],
    curve: Sequence[_CurvePoint],
    labels: Sequence[str | None],
    limits: tuple[drawing.Limits, drawing.Limits],
) -> None:
    axes.set(xlim=limits[0], ylim=limits[1])
    for true, proxy in zip(marks[::2], marks[1::2], strict=True):
        xs, ys = zip(true.place, proxy.place, strict=True)
        axes.plot(xs, ys, color=style_of(true.arm.number)[0], lw=0.8, alpha=0.5)
    for i, (mark, size) in enumerate(zip(marks, sizes, strict=True)):
        style: dict[str, Any] = {"yerr": drawing.error_bar(mark.measure)}
        style |= {"mfc": PAPER} if mark.hollow else {"label": labels[i // 2]}
        drawing.draw_mark(axes, mark.arm.number, mark.place, ms=size, **style)
    if curve:
        style = {"ls": "--", "marker": ".", "color": MUTED, "lw": 1.3}
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
