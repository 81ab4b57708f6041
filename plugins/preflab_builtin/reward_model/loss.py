"""Losses of a ranking."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import logsigmoid

from preflab_builtin.reward_model.config import KwiseConfig, RankingLoss


def ranking_loss(
    rewards: torch.Tensor, preferences: Sequence[tuple[int, int]], config: KwiseConfig
) -> torch.Tensor:
    """The loss of one prompt's responses, rewards [K], as the config chooses it."""
    if config.loss is RankingLoss.plackett_luce:
        return plackett_luce_loss(rewards, preferences)
    return kwise_loss(rewards, preferences, config.margin, config.label_smoothing)


def kwise_loss(
    rewards: torch.Tensor,
    preferences: Sequence[tuple[int, int]],
    margin: float = 0.0,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """InstructGPT equation 1 for one prompt: the mean over its (better, worse) pairs of
    -log sigmoid(r_better - r_worse).

    rewards [K]. Tied responses are not a pair; without any pair the loss is 0 with a zero gradient.
    A batch is the mean over prompts, so that a prompt with K = 9 (36 pairs) weighs as much as one
    with K = 4 (6 pairs). margin: the lead that is asked of whichever response is taken to be the
    better one (Touvron et al. 2023, equation 2, one number). label_smoothing: the share of pairs
    that is taken to be the wrong way round."""
    if not preferences:
        return rewards.sum() * 0.0
    better, worse = torch.as_tensor(list(preferences), device=rewards.device).unbind(1)
    losses = -logsigmoid(rewards[better] - rewards[worse] - margin)
    if label_smoothing:
        wrong = -logsigmoid(rewards[worse] - rewards[better] - margin)
        losses = (1 - label_smoothing) * losses + label_smoothing * wrong
    return losses.mean()


def plackett_luce_loss(
    rewards: torch.Tensor, preferences: Sequence[tuple[int, int]]
) -> torch.Tensor:
    """The mean, over the responses that are better than others, of -log of the chance to be chosen
    among itself and those (Luce 1959; Plackett 1975): exp r / (exp r + sum of exp r_worse).

    rewards [K]. For a ranking without ties this is Plackett and Luce's likelihood, divided by
    K - 1; tied responses are not compared with each other. With K = 2 it is `kwise_loss`."""
    below: dict[int, set[int]] = {}
    for better, worse in preferences:
        below.setdefault(better, set()).add(worse)
    losses = [
        rewards[[better, *sorted(worse)]].logsumexp(0) - rewards[better]
        for better, worse in sorted(below.items())
    ]
    return torch.stack(losses).mean() if losses else rewards.sum() * 0.0


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
