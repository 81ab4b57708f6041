"""Which columns of the ladder a page of a laptop's width has room for: what the claims are about,
then the headlines and whatever else differs most between the arms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from preflab_builtin.report.arms import Arm
from preflab_builtin.report.columns import Column, columns

ROOM = 900
"""Pixels for the columns of measures: of a page in a window of 1280, without the arm and seeds."""
_LETTER, _SMALL_LETTER, _PADDING = 8.2, 7.0, 20.0
"""Widths in pixels: of a letter of a value and of an interval, and beside both."""
_HEADLINES = (
    "reward/proxy",
    "gold/gold",
    "win_rate/",
    "kl/reference",
    "length/tokens",
    "families/mean",
    "document_loss/all",
    "reward_accuracy/proxy/all",
)
"""Measures that come before others, by their beginnings."""


def chosen(arms: Sequence[Arm], claimed: Sequence[str]) -> list[Column]:
    """The columns that are shown at once. claimed: measures of claims, which come first."""
    shown: list[Column] = []
    room = float(ROOM)
    for column in ranked(arms, claimed):
        width = _width(column, arms)
        if width <= room or not shown:
            shown.append(column)
            room -= width
    order = list(dict.fromkeys(column.group for column in shown))  # columns of a group side by side
    return sorted(shown, key=lambda column: order.index(column.group))


def others(arms: Sequence[Arm], shown: Sequence[Column]) -> list[list[Column]]:
    """The columns that are not shown at once, in lists that each fit."""
    tables: list[list[Column]] = []
    room = 0.0
    for column in (column for column in columns(arms) if column not in shown):
        width = _width(column, arms)
        if not tables or width > room:
            tables.append([])
            room = float(ROOM)
        tables[-1].append(column)
        room -= width
    return tables


def contrast(column: Column, arms: Sequence[Arm]) -> float:
    """How far apart the arms are: the distance of the two that are farthest from one another, in
    halves of a mean interval. 0: they do not differ; without intervals: inf if they differ."""
    measures = [measure for arm in arms if (measure := column.of(arm))]
    values = [measure.value for measure in measures]
    distance = max(values) - min(values) if values else 0.0
    halves = [(m.high - m.low) / 2 for m in measures if math.isfinite(m.low)]
    half = sum(halves) / len(halves) if halves else 0.0
    if not distance:
        return 0.0
    return distance / half if half else math.inf


def ranked(arms: Sequence[Arm], claimed: Sequence[str]) -> Iterator[Column]:
    """Columns by importance: claimed, headlines that differ, others that differ by more than
    chance. Where no arms differ, all of them."""
    known = columns(arms)
    by_name = {column.measure: column for column in known}
    measured = {name for arm in arms for name in arm.measures}
    first = [
        by_name.get(name) or Column(name, name.partition("/")[2] or name, "Claimed", digits=3)
        for name in claimed
        if name in by_name or name in measured
    ]
    contrasts = {column.measure: contrast(column, arms) for column in known}
    several = len(arms) > 1 and any(contrasts.values())
    rest = [column for column in known if column not in first]
    for beginning in _HEADLINES:
        first += [
            column
            for column in rest
            if column.measure.startswith(beginning) and (contrasts[column.measure] or not several)
        ]
    rest = [column for column in rest if column not in first]
    if several:
        rest = [column for column in rest if contrasts[column.measure] > 1]
        rest.sort(key=lambda column: -contrasts[column.measure])
    yield from (*first, *rest)


def _width(column: Column, arms: Sequence[Arm]) -> float:
    """Pixels that a column takes; its headings are as wide as their longest words."""
    values = max((len(column.value(arm)) for arm in arms), default=0)
    bounds = max((len(column.bounds(arm)) for arm in arms), default=0)
    words = f"{column.heading} {column.group}".split()
    heading = max(map(len, words), default=0)
    return _PADDING + max(_LETTER * values, _SMALL_LETTER * bounds, _LETTER * heading)
