"""A picture as PNG bytes, with the text that says the same to people who cannot see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from preflab.interfaces import Measure
from preflab.intervals import decimals
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.wording import plain

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
"""Okabe and Ito's palette, which colour-blind people can distinguish; marks and labels differ
too."""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True)
class Picture:
    """A picture for the page.

    alt: what it shows, in words and numbers. arms: those that are drawn, with the runs that their
    numbers are from. n: how many values a run has of each measure. caption: how to read it.
    """

    title: str
    png: bytes
    alt: str
    arms: tuple[Arm, ...]
    n: str
    caption: str = ""

    @property
    def command(self) -> str:
        """What its runs were started with."""
        return "; ".join(dict.fromkeys(run.command for arm in self.arms for run in arm.runs))

    @property
    def behind(self) -> str:
        """Arms, seeds and n; seeds of each arm if they differ."""
        labels = [plain(arm.label) for arm in self.arms]
        seeds = [_seeds(arm) for arm in self.arms]
        if len(set(seeds)) == 1:
            between = "; " if any(", " in label for label in labels) else ", "
            text = f"Arm{'s' * (len(labels) != 1)} {between.join(labels)}; {seeds[0]}"
        else:
            text = "; ".join(f"{label}: {some}" for label, some in zip(labels, seeds, strict=True))
        return f"{text}; n per run: {self.n}."


def _seeds(arm: Arm) -> str:
    runs = sorted(arm.runs, key=lambda run: run.draw)
    return f"seed{'s' * (len(runs) != 1)} {', '.join(str(run.draw.label) for run in runs)}"


def style_of(number: int) -> tuple[str, str]:
    """Colour and mark of the arm with that number; the same in all pictures."""
    return COLORS[number % len(COLORS)], MARKS[(number + number // len(COLORS)) % len(MARKS)]


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


def range_text(numbers: Sequence[int]) -> str:
    """The number if all are equal, else the smallest and the largest."""
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def measure_text(measure: Measure, percent: bool = False) -> str:
    """A measure with its interval, in words."""
    scale = 100.0 if percent else 1.0
    low, high = measure.low * scale, measure.high * scale
    digits = decimals(low, high, 1 if percent else 2)
    text = f"{measure.value * scale:.{digits}f}{' %' if percent else ''}"
    return text if math.isnan(low) else f"{text} ({low:.{digits}f} to {high:.{digits}f})"
