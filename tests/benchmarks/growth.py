"""How cost grows, ours alone: seconds and memory of a step over batch, response length and K,
with the exponents fitted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.measuring import Machine
from benchmarks.results import exponent

STEPS = 3
"""Measured steps of each, after one for warm-up."""


@dataclass(frozen=True)
class Axis:
    """What grows. option: of `ours.Job`."""

    of: str
    over: str
    option: str
    values: tuple[int, ...]


AXES = (
    Axis("ppo_iteration", "batch", "batch", (16, 32, 64, 128, 256)),
    Axis("ppo_iteration", "response tokens", "response", (32, 64, 128, 256)),
    Axis("reward_model", "K", "k", (2, 3, 4, 6, 9)),
)


def growth(machine: Machine, size: str) -> Iterator[dict[str, Any]]:
    """One line per axis. memory: how much a worker's peak grew since its models were loaded."""
    for axis in AXES:
        seconds, peaks, more = [], [], []
        for value in axis.values:
            with ExitStack() as stack:
                worker = machine.worker(True, stack, axis.of, size, **{axis.option: value})
                answers = [worker.ask("step") for _ in range(1 + STEPS)]
            seconds.append(median(answer["seconds"] for answer in answers[1:]))
            peaks.append(answers[-1]["peak_mb"])
            more.append(answers[-1]["peak_mb"] - worker.ready["peak_mb"])
        yield {
            "name": "growth",
            "size": size,
            "of": axis.of,
            "over": axis.over,
            "values": list(axis.values),
            "seconds": seconds,
            "peak_mb": peaks,
            "exponent": exponent(axis.values, seconds),
            "memory_exponent": exponent(axis.values, more),
        }
