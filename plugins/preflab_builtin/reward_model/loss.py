"""The K-wise ranking loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import logsigmoid


def kwise_loss(rewards: torch.Tensor, preferences: Sequence[tuple[int, int]]) -> torch.Tensor:
    """InstructGPT equation 1 for one prompt: the mean over its (better, worse) pairs of
    -log sigmoid(r_better - r_worse).

    rewards [K]. Tied responses are not a pair; without any pair the loss is 0 with a zero gradient.
    A batch is the mean over prompts, so that a prompt with K = 9 (36 pairs) weighs as much as one
    with K = 4 (6 pairs)."""
    if not preferences:
        return rewards.sum() * 0.0
    better, worse = torch.as_tensor(list(preferences), device=rewards.device).unbind(1)
    return -logsigmoid(rewards[better] - rewards[worse]).mean()


def correct_pairs(
    rewards: torch.Tensor, preferences: Sequence[tuple[int, int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(number of pairs that the rewards [K] put in the right order, sum of the differences better -
    worse), both scalars."""
    if not preferences:
        return rewards.new_zeros(()), rewards.new_zeros(())
    better, worse = torch.as_tensor(list(preferences), device=rewards.device).unbind(1)
    margin = rewards[better] - rewards[worse]
    return (margin > 0).sum(), margin.sum()
