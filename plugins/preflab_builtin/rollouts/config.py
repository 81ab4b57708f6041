"""Configs of the sampling engines."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import option

TEMPERATURE = (
    "of training rollouts; it also divides the logits of all log-probs (1: the model itself)"
)


@dataclass
class NativeConfig:
    """preflab's engine: every row has its own noise, so that its tokens do not depend on the other
    rows of its batch."""

    name: str = option("native", "component")
    max_tokens: int = option(32, "longest response in tokens, end token included", ge=1, fast=8)
    temperature: float = option(1.0, TEMPERATURE, gt=0)
    batch: int = option(
        128, "rows decoded at a time; memory, not results", ge=1, affects_result=False
    )


@dataclass
class TransformersConfig:
    """transformers' generate: one random stream for a whole batch, so that the tokens of a row
    depend on the other rows of its batch."""

    name: str = option("transformers", "component")
    max_tokens: int = option(32, "longest response in tokens, end token included", ge=1, fast=8)
    temperature: float = option(1.0, TEMPERATURE, gt=0)
    batch: int = option(128, "rows decoded at a time; changes which tokens are drawn", ge=1)


@dataclass
class ContinuousConfig:
    """transformers' continuous batching, for GPUs: rows enter and leave a batch as they begin and
    end. One random stream for all rows, so that the tokens of a row depend on the others."""

    name: str = option("continuous", "component")
    max_tokens: int = option(32, "longest response in tokens, end token included", ge=1, fast=8)
    temperature: float = option(1.0, TEMPERATURE, gt=0)
    batch: int = option(256, "rows decoded at a time at most; changes which tokens are drawn", ge=1)
