"""Learning rates that fit the size of a model, from published tables: one made for a model that is
much smaller, or that has learnt nothing yet, ruins a pretrained model in a few steps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from preflab.optimization import OptimizerConfig

GPT3 = (
    (125e6, 6.0e-4),
    (350e6, 3.0e-4),
    (760e6, 2.5e-4),
    (1.3e9, 2.0e-4),
    (2.7e9, 1.6e-4),
    (6.7e9, 1.2e-4),
    (13e9, 1.0e-4),
    (175e9, 0.6e-4),
)
"""Parameters, and the peak learning rate of their pretraining (Brown et al. 2020, table 2.1)."""
SHARE = 0.1
"""Of the pretraining rate that fine-tuning takes: GPT-1 6.25e-5 (117M, Radford et al. 2018), Alpaca
2e-5 (7B, Taori et al. 2023), InstructGPT 9.65e-6 (1.3B and 6B) and 5.03e-6 (175B, Ouyang et al.
2022, C.1) are 0.05 to 0.17 of it."""
FAR = 5.0
"""A rate this many times that of fine-tuning is far above it."""


def pretraining_rate(parameters: float) -> float:
    """The peak learning rate with which a model of that many parameters is pretrained: GPT-3's,
    interpolated between its sizes on logarithmic scales, and beyond them with the slope of the
    whole table.

    >>> round(pretraining_rate(1.3e9), 5), round(pretraining_rate(1e6), 4)
    (0.0002, 0.0028)
    """
    sizes = [math.log(size) for size, _ in GPT3]
    rates = [math.log(rate) for _, rate in GPT3]
    at = math.log(parameters)
    whole = (rates[-1] - rates[0]) / (sizes[-1] - sizes[0])
    if at <= sizes[0]:
        return math.exp(rates[0] + whole * (at - sizes[0]))
    if at >= sizes[-1]:
        return math.exp(rates[-1] + whole * (at - sizes[-1]))
    for (low, first), (high, second) in pairwise(zip(sizes, rates, strict=True)):
        if at <= high:
            return math.exp(first + (second - first) * (at - low) / (high - low))
    raise AssertionError(parameters)


def fine_tuning_rate(parameters: float) -> float:
    """The learning rate with which a pretrained model of that many parameters is usually changed,
    to one digit.

    >>> [fine_tuning_rate(size) for size in (135e6, 1.3e9, 7e9, 175e9)]
    [6e-05, 2e-05, 1e-05, 6e-06]
    """
    return float(f"{SHARE * pretraining_rate(parameters):.0e}")


def rates(config: Any, key: str) -> Iterator[tuple[str, float]]:
    """(key, peak learning rate) of every `OptimizerConfig` in a component's config. key: of the
    config. A config of which a method ``fine_tunes`` returns False changes no pretrained weight, so
    it has none."""
    if not dataclasses.is_dataclass(config) or not getattr(config, "fine_tunes", _always)():
        return
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, OptimizerConfig):
            yield f"{key}.{field.name}.lr", value.lr
        else:
            yield from rates(value, f"{key}.{field.name}")


def far_above(found: Iterable[tuple[str, float]], parameters: int) -> Iterator[str]:
    """A sentence on the rates that are far above those of fine-tuning, with the words that set them
    right. parameters: of the pretrained model."""
    usual = fine_tuning_rate(parameters)
    far = {key: rate for key, rate in found if rate > FAR * usual}
    if far:
        given = ", ".join(f"{key}={rate:g}" for key, rate in far.items())
        cure = " ".join(f"{key}={usual:g}" for key in far)
        yield (
            f"{given}: far above what is usual for changing a pretrained model of {parameters:,} "
            f"parameters, about {usual:g} (a tenth of GPT-3's learning rate at that size). So high "
            "a rate destroys within a few steps what the model has learnt. Unless you want that: "
            f"{cure}"
        )


ADAPTERS = 10.0
"""The learning rate of adapters as a multiple of that of all weights (Schulman et al. 2025)."""
LOW = 2.0
"""A rate of adapters below this many times the usual one of all weights is made for all weights."""


def too_low(found: Iterable[tuple[str, float]], parameters: int) -> Iterator[str]:
    """A sentence on rates with which adapters hardly learn, with ten times each of them as the
    words that raise it, but within what is usual for adapters. parameters: of the whole model."""
    usual = fine_tuning_rate(parameters)
    low = {key: rate for key, rate in found if 0 < rate < LOW * usual}
    if low:
        given = ", ".join(f"{key}={rate:g}" for key, rate in low.items())
        raised = {k: min(ADAPTERS * usual, max(ADAPTERS * r, LOW * usual)) for k, r in low.items()}
        cure = " ".join(f"{key}={rate:.2g}" for key, rate in raised.items())
        yield (
            f"{given}: made for training all weights (about {usual:g} is usual at {parameters:,} "
            "parameters). Here adapters are trained (policy.lora), which want about ten times as "
            f"much and hardly learn otherwise. Unless you want that: {cure}"
        )


def _always() -> bool:
    return True
