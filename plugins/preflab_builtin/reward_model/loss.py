"""The K-wise ranking loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import logsigmoid


def kwise_loss(rewards: torch.Tensor, preferences: Sequence[tuple[int, int]]) -> torch.Tensor:
    """InstructGPT equation 1 for one prompt: the mean over its (better, worse) pairs of -log sigmoid(r_better - r_worse).

    rewards [K]. Ties stand in no pair; without any pair the loss is 0 with a zero gradient. A batch is the mean over
    prompts, so that a prompt with K = 9 (36 pairs) weighs as much as one with K = 4 (6 pairs).
    """
    if not preferences:
        return rewards.sum() * 0.0
    better, worse = torch.as_tensor(list(preferences), device=rewards.device).unbind(1)
    return -logsigmoid(rewards[better] - rewards[worse]).mean()


def correct_pairs(
    rewards: torch.Tensor, preferences: Sequence[tuple[int, int]]
) -> tuple[float, float]:
    """(pairs that the rewards [K] order rightly, sum of reward differences better - worse)."""
    if not preferences:
        return 0.0, 0.0
    better, worse = torch.as_tensor(list(preferences), device=rewards.device).unbind(1)
    margin = rewards[better] - rewards[worse]
    return float((margin > 0).sum()), float(margin.sum())
