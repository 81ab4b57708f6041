"""What an on-policy algorithm adds to the core: a few pure functions, and which networks it needs.

Shapes: B rows, R response tokens. Every function sees whole rollout batches or minibatches of
responses, never a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from preflab.functional import kl_estimates
from preflab.optimization import OptimizerConfig
from preflab_builtin.on_policy.config import Aggregate, KLEstimator
from preflab_builtin.on_policy.experience import AdvantageFunction, Experience


@dataclass(frozen=True)
class TokenLoss:
    """loss [B, R], differentiable; clipped [B, R] bool: the tokens whose gradient clipping
    stopped."""

    loss: torch.Tensor
    clipped: torch.Tensor


LossFunction = Callable[[torch.Tensor, Experience], TokenLoss]
"""Log-probs [B, R] of the policy that is trained, and the minibatch -> its loss per token. Values
outside the mask are ignored."""
ValueLoss = Callable[[torch.Tensor, Experience], TokenLoss]
"""The same for the values [B, R] of the value network."""


@dataclass(frozen=True)
class Critic:
    """A value network: its loss and its optimizer. It starts from the reward model where the run
    has one."""

    loss: ValueLoss
    optimizer: OptimizerConfig


@dataclass(frozen=True)
class Rules:
    """An on-policy algorithm.

    name: in messages and random streams. advantages, loss: its two functions. samples: responses
    per prompt, in consecutive rows. aggregate: the normalisation of the loss. kl_loss: None puts
    the KL into the reward, token by token and as the plain log-ratio (k1), which is the only
    estimator that is right there; otherwise it stands in the loss. critic: None needs no value
    network. described: numbers of its own about an iteration, for dashboards. chosen: None trains
    on all rows; otherwise the rows of a rollout batch to train on, ``together`` of each prompt at
    most, one behind another: these are always in one micro-batch. resample: how often prompts whose
    responses all have the same score are replaced by other prompts in an iteration.
    """

    name: str
    advantages: AdvantageFunction
    loss: LossFunction
    samples: int = 1
    aggregate: Aggregate = Aggregate.token
    kl_loss: KLEstimator | None = None
    critic: Critic | None = None
    described: Callable[[Experience], dict[str, float]] | None = None
    chosen: Callable[[Experience], list[int]] | None = None
    together: int = 1
    resample: int = 0


def clipped_loss(
    log_probs: torch.Tensor,
    old: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    low: float,
    high: float | None = None,
) -> TokenLoss:
    """max(-A ratio, -A clip(ratio, 1 - low, 1 + high)), all [B, R] (Schulman et al. 2017, equation
    7). high: None takes low; a larger one is DAPO's "clip-higher" (arXiv 2503.14476)."""
    ratio = torch.where(mask, log_probs - old, torch.zeros_like(log_probs)).exp()
    bounded = ratio.clamp(1 - low, 1 + (low if high is None else high))
    plain, clipped = -advantages * ratio, -advantages * bounded
    return TokenLoss(torch.maximum(plain, clipped), clipped > plain)


def kl_loss(
    log_probs: torch.Tensor,
    old: torch.Tensor,
    reference: torch.Tensor,
    mask: torch.Tensor,
    estimator: KLEstimator,
) -> torch.Tensor:
    """The KL to the reference as a differentiable loss per token [B, R], of samples drawn with
    ``old``."""
    nothing = torch.zeros_like(log_probs)
    _, k2, k3 = kl_estimates(torch.where(mask, log_probs - reference, nothing))
    if estimator is KLEstimator.k2:
        return k2
    if estimator is KLEstimator.k3:
        return k3
    return torch.where(mask, log_probs - old, nothing).exp() * k3


def token_weights(mask: torch.Tensor, aggregate: Aggregate) -> torch.Tensor:
    """What the loss of each token counts for in the sum that `denominator` divides, [B, R]."""
    weights = mask.float()
    if aggregate is Aggregate.sequence:
        return weights / weights.sum(-1, keepdim=True).clamp(min=1)
    return weights


def denominator(mask: torch.Tensor, aggregate: Aggregate, longest: int) -> int:
    """What the weighted sum over a whole minibatch, mask [B, R], is divided by. longest: the most
    tokens that a response may have."""
    if aggregate is Aggregate.token:
        return int(mask.sum())
    return len(mask) * (longest if aggregate is Aggregate.constant else 1)
