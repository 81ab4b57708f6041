"""Learning curves: metrics of the algorithm stage over its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from preflab_builtin.report.arms import Arm
from preflab_builtin.report.pictures import drawing
from preflab_builtin.report.pictures.picture import Picture, range_text, style_of
from preflab_builtin.report.wording import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = {
    "objective/scores": "Reward of the training samples",
    "objective/kl": "KL to the reference, nats per response",
    "objective/length": "Length of the training samples, tokens",
    "loss/ptx": "Pretraining loss of the ptx term, nats per token",
}
WATCHED = "watch/"
"""Metrics of judgements while an algorithm trains."""
_Series = dict[int, float]
"""Values of a metric by step."""


def learning_curves(arms: Sequence[Arm]) -> list[Picture]:
    """One picture per metric: each run thin, the mean of an arm's runs thick."""
    logs = [[run.metrics("algorithm") for run in arm.runs] for arm in arms]
    curves = CURVES | _watched(row for logged in logs for rows in logged for row in rows)
    pictures = (_learning_curve(arms, logs, metric, curves[metric]) for metric in curves)
    return [picture for picture in pictures if picture]


def _watched(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The first measure that each evaluator gives, and its title: the others are its parts."""
    first: dict[str, str] = {}
    for name in (name for row in rows for name in row if name.startswith(WATCHED)):
        first.setdefault(name.split("/")[1], name)
    return {name: f"{name.removeprefix(WATCHED)} on held-out prompts" for name in first.values()}


def _learning_curve(
    arms: Sequence[Arm],
    logs: Sequence[Sequence[list[dict[str, Any]]]],
    metric: str,
    title: str,
) -> Picture | None:
    curves: list[tuple[int, Arm, list[_Series]]] = []
    for number, (arm, logged) in enumerate(zip(arms, logs, strict=True)):
        series = [
            {int(row["step"]): float(row[metric]) for row in rows if row.get(metric) is not None}
            for rows in logged
        ]
        if any(len(one) > 1 for one in series):
            runs = tuple(run for run, one in zip(arm.runs, series, strict=True) if one)
            curves.append((number, replace(arm, runs=runs), [one for one in series if one]))
    if not curves:
        return None
    labels = [arm.label for _, arm, _ in curves]

    def draw(axes: Axes) -> None:
        for number, arm, series in curves:
            color, _ = style_of(number)
            for one in series if len(series) > 1 else ():
                axes.plot(list(one), list(one.values()), color=color, lw=0.8, alpha=0.35)
            mean, label = _mean(series), drawing.label_text(arm.label)
            axes.plot(list(mean), list(mean.values()), color=color, lw=2, label=label)
        drawing.name_axes(axes, "Step of the algorithm", title)
        axes.locator_params(axis="x", integer=True)
        drawing.legend(axes, labels)

    ends = []
    for _, arm, series in curves:
        values = list(_mean(series).values())
        ends.append(f"{plain(arm.label)} from {values[0]:.2f} to {values[-1]:.2f}")
    several = any(len(series) > 1 for *_, series in curves)
    return Picture(
        title,
        drawing.png(draw, 3.2 + drawing.legend_height(labels)),
        f"{title} over the steps of training: {'; '.join(ends)}.",
        tuple(arm for _, arm, _ in curves),
        f"{range_text([len(one) for *_, series in curves for one in series])} steps",
        "Thin: each run; thick: the mean of an arm's runs." if several else "",
    )


def _mean(series: Sequence[Mapping[int, float]]) -> _Series:
    """Mean over runs at the steps that all of them have."""
    steps = sorted(set(series[0]).intersection(*series))
    return {step: sum(one[step] for one in series) / len(series) for step in steps}
