"""Reward shapings: a price on length, and a bound that is reached smoothly. Their configs stand beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from preflab import option

if TYPE_CHECKING:
    import torch

    from preflab.interfaces import RewardShaping
    from preflab.records import Rollout


@dataclass
class LengthPenaltyConfig:
    """A price on every token of a response beyond some that are free: reward models like length for its own sake."""

    name: str = option("length_penalty", "component")
    coef: float = option(0.01, "reward subtracted a token", ge=0)
    free: int = option(0, "tokens that cost nothing, end token included", ge=0)


@dataclass
class SoftClipConfig:
    """limit tanh(score / limit): the further a score is from 0 (the demonstrations' mean), the less more of it is worth, so that
    the far end of a reward model, where it was never trained, pays little (bounded as in Fu et al. 2025, arXiv 2502.18770)."""

    name: str = option("soft_clip", "component")
    limit: float = option(2.0, "scores stay within +- this; small ones stay as they are", gt=0)


def length_penalty(config: LengthPenaltyConfig) -> RewardShaping:
    """score - coef max(0, tokens - free)."""

    def shape(scores: torch.Tensor, rollout: Rollout) -> torch.Tensor:
        return scores - config.coef * (rollout.response_lengths - config.free).clamp_min(0)

    return shape


def soft_clip(config: SoftClipConfig) -> RewardShaping:
    """limit tanh(score / limit)."""

    def shape(scores: torch.Tensor, rollout: Rollout) -> torch.Tensor:
        return config.limit * (scores / config.limit).tanh()

    return shape
