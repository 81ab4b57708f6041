"""Losses of a ranking."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import NamedTuple

import torch
from torch.nn.functional import logsigmoid

from preflab.records import Ranking
from preflab_builtin.reward_model.config import KwiseConfig, RankingLoss


class Scale(NamedTuple):
    """The scale of ratings: their mean and standard deviation (of the whole, not of a sample)."""

    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def of(cls, rankings: Sequence[Ranking]) -> Scale:
        """That of all ratings of some rankings, each response once."""
        values = [value for ranking in rankings for value in ranking.ratings]
        return cls(fmean(values), pstdev(values))


def ranking_loss(
    rewards: torch.Tensor, ranking: Ranking, config: KwiseConfig, scale: Scale
) -> torch.Tensor:
    """The loss of one prompt's responses, rewards [K], as the config chooses it. scale: of the
    ratings that are trained on."""
    preferences = ranking.preferences
    if config.loss is RankingLoss.regression:
        return regression_loss(rewards, ranking.ratings, scale)
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


def regression_loss(rewards: torch.Tensor, ratings: Sequence[float], scale: Scale) -> torch.Tensor:
    """The mean over responses of (r - (rating - mean) / std)^2 (Wang et al. 2024, arXiv 2406.08673,
    3.1, where ratings stay on their scale; here their mean is 0 and their spread 1, where rewards
    begin).

    rewards [K]; ratings: K numbers. A batch is the mean over prompts, as for pairs."""
    targets = rewards.new_tensor(list(ratings)).sub(scale.mean).div(scale.std)
    return (rewards - targets).square().mean()


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
