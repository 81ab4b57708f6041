"""Configs of the sampling engines."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import option


@dataclass
class NativeConfig:
    """preflab's engine: every row has its own noise, so that its tokens do not depend on the rows
    beside it."""

    name: str = option("native", "component")
    max_tokens: int = option(32, "longest response in tokens, end token included", ge=1, fast=8)
    temperature: float = option(
        1.0,
        "of training rollouts; it also divides the logits of all log-probs (1: the model itself)",
        gt=0,
    )
    batch: int = option(
        128, "rows decoded at a time; memory, not results", ge=1, affects_result=False
    )


@dataclass
class TransformersConfig:
    """transformers' generate: one random stream for a whole batch, so a row's tokens depend on the
    rows beside it."""

    name: str = option("transformers", "component")
    max_tokens: int = option(32, "longest response in tokens, end token included", ge=1, fast=8)
    temperature: float = option(
        1.0,
        "of training rollouts; it also divides the logits of all log-probs (1: the model itself)",
        gt=0,
    )
    batch: int = option(128, "rows decoded at a time; it does change which tokens are drawn", ge=1)
