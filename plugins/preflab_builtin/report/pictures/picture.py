"""A picture as SVG, with its data, and with the text that says the same to people who cannot see
it."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from preflab.interfaces import Measure
from preflab.intervals import decimals
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.wording import count, plain

MANY = 8
"""More arms than this are counted below a picture, and not named."""
ALL_ARMS = "all arms"
"""Label of a curve of a stage that all arms share."""
Cell = str | int | float | None


@dataclass(frozen=True)
class Picture:
    """A picture for the page.

    alt: what it shows, in words and numbers. arms: those that are drawn, with the runs that their
    numbers are from. n: how many values a run has of each measure. csv: the numbers that are drawn,
    as a table for other programs. caption: how to read it.
    """

    title: str
    svg: bytes
    alt: str
    arms: tuple[Arm, ...]
    n: str
    csv: str
    caption: str = ""

    @property
    def file_name(self) -> str:
        """Its title as the name of a file, without an ending."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "picture"

    @property
    def behind(self) -> str:
        """Arms, seeds and n; seeds of each arm if they differ."""
        if [arm.label for arm in self.arms] == [ALL_ARMS]:
            return f"All arms, which share it; {_seeds(self.arms[0])}; n per run: {self.n}."
        labels = [plain(arm.brief) for arm in self.arms]
        seeds = [_seeds(arm) for arm in self.arms]
        if len(labels) > MANY:
            alike = seeds[0] if len(set(seeds)) == 1 else "with different seeds"
            return f"{count(len(labels), 'arm')}, {alike}; n per run: {self.n}."
        if len(set(seeds)) == 1:
            between = "; " if any(", " in label for label in labels) else ", "
            text = f"Arm{'s' * (len(labels) != 1)} {between.join(labels)}; {seeds[0]}"
        else:
            text = "; ".join(f"{label}: {some}" for label, some in zip(labels, seeds, strict=True))
        return f"{text}; n per run: {self.n}."


def csv_text(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table as CSV (RFC 4180). A text that spreadsheets would take for a formula begins with a
    space.

    >>> csv_text(["arm", "value"], [["+x=1", 0.5], ["a", None]])
    'arm,value\\r\\n +x=1,0.5\\r\\na,\\r\\n'
    """
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(head)
    writer.writerows([[_inert(cell) for cell in row] for row in rows])
    return stream.getvalue()


def measure_cells(measure: Measure) -> tuple[Cell, ...]:
    """A measure as cells of a CSV: value, low, high; without an interval the last two are empty."""
    known = math.isfinite(measure.low)
    return measure.value, measure.low if known else None, measure.high if known else None


def _inert(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    text = plain(cell)
    return f" {text}" if text.startswith(("=", "+", "-", "@")) else text


def _seeds(arm: Arm) -> str:
    runs = sorted(arm.runs, key=lambda run: run.draw)
    return f"seed{'s' * (len(runs) != 1)} {', '.join(str(run.draw.label) for run in runs)}"


def with_measures(arm: Arm, measures: Sequence[str]) -> Arm:
    """The arm with those of its runs that have any of the measures."""
    runs = tuple(run for run in arm.runs if any(name in run.measures for name in measures))
    return replace(arm, runs=runs)


def n_of(arms: Sequence[Arm], measures: Sequence[str]) -> str:
    """How many values of each measure a run has, in words."""
    texts = []
    for name in measures:
        numbers = [run.measures[name].n for arm in arms for run in arm.runs if name in run.measures]
        texts += [f"{range_text(numbers)} ({name})"] if numbers else []
    return ", ".join(texts)


def range_text(numbers: Sequence[int], word: str = "") -> str:
    """The number if all are equal, else the smallest and the largest; with the word for them.

    >>> range_text([1], "step"), range_text([1, 4], "step")
    ('1 step', '1 to 4 steps')
    """
    low, high = min(numbers), max(numbers)
    many = f" {word}{'s' * (high != 1)}" if word else ""
    return f"{low}{many}" if low == high else f"{low} to {high}{many}"


def measure_text(measure: Measure, percent: bool = False) -> str:
    """A measure with its interval, in words."""
    scale = 100.0 if percent else 1.0
    low, high = measure.low * scale, measure.high * scale
    digits = decimals(low, high, 1 if percent else 2)
    text = f"{measure.value * scale:.{digits}f}{' %' if percent else ''}"
    return text if math.isnan(low) else f"{text} ({low:.{digits}f} to {high:.{digits}f})"
