"""What the benchmark says: rows of JSON, and the table at the end. Pure functions of what the
workers answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from scipy.stats import chisquare, linregress

from benchmarks.shapes import TARGETS

SAME = {"float32": 1e-4, "bfloat16": 3e-2}
"""Largest difference between two losses, or log-probabilities, that are the same, by the
precision of the forward pass."""
LIKELY = 1e-4
"""Smallest p-value with which a sample still counts as drawn from the distribution."""


@dataclass(frozen=True)
class Unit:
    """One measured unit of work: a step or a call. amount: of what is counted (1 for seconds a
    step); flop: of the work."""

    seconds: float
    amount: float
    flop: float


@dataclass(frozen=True)
class Measured:
    """One side of a measurement."""

    units: tuple[Unit, ...]
    peak_mb: float

    @property
    def rate(self) -> float:
        """Median amount per second."""
        return median(unit.amount / unit.seconds for unit in self.units)

    @property
    def gflops(self) -> float:
        """Median arithmetic of the work per second, GFLOP/s."""
        return median(unit.flop / unit.seconds for unit in self.units) / 1e9


@dataclass(frozen=True)
class Row:
    """One line of output. ours, peer: in ``unit``; ratio: above 1, ours is better; fractions: of
    the measured matmul peak."""

    name: str
    size: str
    ours: float
    peer: float
    ratio: float
    target: float
    unit: str
    ours_peak_mb: float
    peer_peak_mb: float
    ours_fraction: float | None
    peer_fraction: float | None
    units: int
    check: dict[str, float]

    def line(self) -> dict[str, Any]:
        """Ready for JSON, rounded to what can be meant."""
        return {key: rounded(value) for key, value in asdict(self).items()}


def rounded(value: Any) -> Any:
    """Numbers with five significant digits, inside lists and dicts too."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def row(
    name: str,
    size: str,
    unit: str,
    ours: Measured,
    peer: Measured,
    peak_gflops: float,
    check: dict[str, float],
) -> Row:
    """A measurement of both sides. A unit that begins with "s/" is a time and the lower one wins;
    else the higher rate does."""
    is_time = unit.startswith("s/")
    a, b = (1 / ours.rate, 1 / peer.rate) if is_time else (ours.rate, peer.rate)
    return Row(
        name=name,
        size=size,
        ours=a,
        peer=b,
        ratio=ours.rate / peer.rate,
        target=TARGETS[name][size],
        unit=unit,
        ours_peak_mb=ours.peak_mb,
        peer_peak_mb=peer.peak_mb,
        ours_fraction=ours.gflops / peak_gflops,
        peer_fraction=peer.gflops / peak_gflops,
        units=len(ours.units),
        check=check,
    )


def memory_row(of: Row) -> Row:
    """The peaks of memory of a measurement as one of its own."""
    return Row(
        name="ppo_peak_memory",
        size=of.size,
        ours=of.ours_peak_mb,
        peer=of.peer_peak_mb,
        ratio=of.peer_peak_mb / of.ours_peak_mb,
        target=TARGETS["ppo_peak_memory"][of.size],
        unit="MB",
        ours_peak_mb=of.ours_peak_mb,
        peer_peak_mb=of.peer_peak_mb,
        ours_fraction=None,
        peer_fraction=None,
        units=of.units,
        check=of.check,
    )


class Different(Exception):
    """The two sides do not compute the same, so there is nothing to compare."""


def same(what: str, ours: float, peer: float, tolerance: float = SAME["float32"]) -> float:
    """Their difference; `Different` if it is too large or not finite."""
    difference = abs(ours - peer)
    if not difference <= tolerance:
        raise Different(f"{what}: ours {ours:.6g}, the peer's {peer:.6g}")
    return difference


def same_all(what: str, ours: Sequence[float], peer: Sequence[float]) -> float:
    """The largest difference of two lists of numbers; `Different` if they are not the same."""
    if len(ours) != len(peer) or not ours:
        raise Different(f"{what}: ours has {len(ours)} of them, the peer {len(peer)}")
    a, b = max(zip(ours, peer, strict=True), key=lambda pair: _distance(*pair))
    return same(what, a, b)


def _distance(a: float, b: float) -> float:
    difference = abs(a - b)
    return math.inf if math.isnan(difference) else difference


def fits(who: str, bins: Sequence[float]) -> float:
    """The p-value of a sample whose tokens fell into equally likely bins; `Different` if it was
    drawn from something else."""
    p = float(chisquare(bins).pvalue)
    if not p >= LIKELY:
        raise Different(
            f"{who}: the sampled tokens do not follow the model's probabilities (p = {p:.2g}, bins "
            f"{bins})"
        )
    return p


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """b of the fit cost = a size^b, by least squares on logarithms."""
    return float(
        linregress([math.log(x) for x in sizes], [math.log(max(y, 1e-9)) for y in costs]).slope
    )
