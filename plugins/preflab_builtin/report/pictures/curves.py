"""Curves over steps: the log of a stage, of one or several arms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from preflab_builtin.report.arms import Arm
from preflab_builtin.report.pictures import drawing
from preflab_builtin.report.pictures.colors import style_of
from preflab_builtin.report.pictures.picture import Cell, Picture, csv_text, range_text
from preflab_builtin.report.runs import RunResult
from preflab_builtin.report.wording import count, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 200
"""Points of a curve. Of a longer log every second, third, ... step is drawn, and the last."""
MARKS_OF_A_CURVE = 6
"""Marks on a curve that is one of several: colours alone do not tell them apart for everybody."""
_COVERED = 0.005
"""Two lines that are nowhere further apart cover each other, as a part of the picture's height."""
_DASH = 3
"""Length of a dash, in widths of its line."""
_Dashes = tuple[int, tuple[int, int]]
"""A line style of matplotlib: where the dashes begin; lengths of a dash and a gap."""
Series = dict[int, float]
"""Values of a metric by step."""


@dataclass(frozen=True)
class Curve:
    """A metric of an arm over the steps of a stage: by run the values that are drawn, and those on
    validation records, which can be none.

    arm: with the runs that have the metric. It stands for several arms if they share the stage.
    steps: how many values each run has.
    """

    arm: Arm
    runs: tuple[Series, ...]
    checked: tuple[Series, ...]
    steps: tuple[int, ...]

    @property
    def mean(self) -> Series:
        """Mean over the runs."""
        return _mean(self.runs)

    @property
    def mean_checked(self) -> Series:
        """Mean over the runs, on validation records; {} if there are none."""
        return _mean([one for one in self.checked if one])


def curve(
    arm: Arm, logs: Sequence[list[dict[str, Any]]], metric: str, validation: str = ""
) -> Curve | None:
    """The curve of an arm from the logs of its runs, in their order; None if no log has two
    values."""
    series = [_series(rows, metric) for rows in logs]
    if not any(len(one) > 1 for one in series):
        return None
    logged = [
        (run, rows, one) for run, rows, one in zip(arm.runs, logs, series, strict=True) if one
    ]
    return Curve(
        replace(arm, runs=tuple(run for run, *_ in logged)),
        tuple(_thinned(one) for *_, one in logged),
        tuple(_series(rows, validation) for _, rows, _ in logged),
        tuple(len(one) for *_, one in logged),
    )


def curves_picture(curves: Sequence[Curve], title: str, steps: str) -> Picture:
    """All curves of a metric. title: the metric with its unit; steps: what is counted."""
    labels = drawing.legend_labels([curve.arm for curve in curves])
    validated = any(curve.mean_checked for curve in curves)
    several = any(len(curve.runs) > 1 for curve in curves)
    same = _coinciding(curves)

    def draw(axes: Axes) -> None:
        for place, (curve, label) in enumerate(zip(curves, labels, strict=True)):
            text = None if label is None else drawing.label_text(label)
            own = next(_dashes(group, place) for group in [*same, [place]] if place in group)
            _draw(axes, curve, text, place if len(curves) > 1 else None, own)
        drawing.name_axes(axes, steps, title)
        axes.locator_params(axis="x", integer=True, nbins=6)
        axes.margins(x=0.02)
        if len(curves) > 1:
            drawing.legend(axes, labels)

    caption = ""
    if several:
        caption = "Thin: each run; thick: the mean of an arm's runs."
    if validated:
        caption = "Line: the batches that it is trained on; marks: validation records."
    if same:
        alike = (", ".join(plain(curves[i].arm.brief) for i in group) for group in same)
        caption += f" Wholly the same, with dashes of each: {'; '.join(alike)}."
    return Picture(
        title,
        drawing.svg(draw, 3.2 + drawing.legend_height(labels if len(curves) > 1 else [])),
        f"{title}, by {_lower(steps)}: {'; '.join(map(_in_words, curves))}.",
        tuple(curve.arm for curve in curves),
        range_text([n for curve in curves for n in curve.steps], "step"),
        csv_text(("arm", "seed", "step", "value", "records"), _rows(curves)),
        caption.strip(),
    )


def _coinciding(curves: Sequence[Curve]) -> list[list[int]]:
    """Groups of curves, by their numbers, that one line would cover: at the same steps, and nowhere
    further apart than `_COVERED` of all that the picture shows."""
    lines = [curve.mean_checked or curve.mean for curve in curves]
    values = [value for line in lines for value in line.values()]
    near = _COVERED * (max(values) - min(values))
    groups: list[list[int]] = []
    for i, line in enumerate(lines):
        if curves[i].arm.number is None:
            continue
        for group in groups:
            first = lines[group[0]]
            if list(line) == list(first) and all(abs(line[k] - first[k]) <= near for k in line):
                group.append(i)
                break
        else:
            groups.append([i])
    return [group for group in groups if len(group) > 1]


def _dashes(group: Sequence[int], place: int) -> _Dashes | str:
    """How the line of a curve is drawn: the first of a group is whole, and each of the others has
    dashes of its own over it.

    >>> _dashes([4], 4), [_dashes([0, 2, 5], i) for i in (0, 2, 5)]
    ('-', ['-', (0, (3, 6)), (3, (3, 6))])
    """
    above = group.index(place)
    return (_DASH * (above - 1), (_DASH, _DASH * (len(group) - 1))) if above else "-"


def _draw(
    axes: Axes, curve: Curve, label: str | None, place: int | None, dashes: _Dashes | str
) -> None:
    """One curve. place: its number among several, whose marks are not at the same steps; dashes:
    of its line."""
    color, mark = style_of(curve.arm.number)
    own = curve.arm.number is not None
    mean = curve.mean
    style: dict[str, Any] = {"color": color, "marker": mark, "ms": 5, "zorder": 2 + own}
    style["ls"] = dashes
    if checked := curve.mean_checked:
        axes.plot(list(mean), list(mean.values()), color=color, lw=1, alpha=0.45, zorder=1)
        axes.plot(list(checked), list(checked.values()), label=label, lw=1.6, **style)
        return
    for one in curve.runs if len(curve.runs) > 1 and own else ():
        axes.plot(list(one), list(one.values()), color=color, lw=0.8, alpha=0.35, zorder=1)
    if place is None or not own:
        style |= {"marker": ""}
    else:
        distance = max(1, len(mean) // MARKS_OF_A_CURVE)
        style |= {"markevery": (place * distance // 8 % distance, distance)}
    axes.plot(list(mean), list(mean.values()), label=label, lw=2 if own else 0.8, **style)


def _in_words(curve: Curve) -> str:
    values = list(curve.mean.values())
    text = f"{plain(curve.arm.brief)} from {values[0]:.2f} to {values[-1]:.2f}"
    if checked := list(curve.mean_checked.values()):
        text += f", on validation records {checked[-1]:.2f} after {count(len(checked), 'check')}"
    return text


def _rows(curves: Sequence[Curve]) -> Iterator[tuple[Cell, ...]]:
    for curve in curves:
        yield from _rows_of(curve.arm.label, curve.arm.runs, curve.runs, "training")
        yield from _rows_of(curve.arm.label, curve.arm.runs, curve.checked, "validation")


def _rows_of(
    label: str, runs: Sequence[RunResult], series: Sequence[Series], records: str
) -> Iterator[tuple[Cell, ...]]:
    for run, one in zip(runs, series, strict=True):
        yield from ((label, run.draw.label, step, value, records) for step, value in one.items())


def _series(rows: Iterable[Mapping[str, Any]], metric: str) -> Series:
    return {int(row["step"]): float(row[metric]) for row in rows if row.get(metric) is not None}


def _thinned(series: Series) -> Series:
    """At most `MOST_POINTS` values and the last, at even distances."""
    steps = list(series)
    kept = dict.fromkeys([*steps[:: -(-len(steps) // MOST_POINTS)], steps[-1]])
    return {step: series[step] for step in kept}


def _mean(series: Sequence[Mapping[int, float]]) -> Series:
    """Mean over runs at the steps that all of them have."""
    if not series:
        return {}
    steps = sorted(set(series[0]).intersection(*series))
    return {step: sum(one[step] for one in series) / len(series) for step in steps}


def _lower(title: str) -> str:
    return title[:1].lower() + title[1:]
