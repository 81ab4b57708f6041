"""The PPO losses as sums over tokens; the caller divides by one global number of tokens.

Shapes: B rows, R response tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch

from preflab.functional import masked_sum

T = TypeVar("T")


class Watched(NamedTuple, Generic[T]):
    """What is watched of an optimizer step: sums over tokens (T is a scalar tensor) or means over
    tokens (T is float)."""

    policy_loss: T
    value_loss: T
    approx_kl: T
    clipped: T
    ratio: T
    value_clipped: T
    squared_ratio: T


@dataclass(frozen=True)
class PolicyLoss:
    """Sums over masked tokens: the loss (differentiable), and what is watched."""

    loss: torch.Tensor
    approx_kl: torch.Tensor
    clipped: torch.Tensor
    ratio: torch.Tensor


def policy_loss(
    log_probs: torch.Tensor,
    old: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    clip: float,
) -> PolicyLoss:
    """Sum over tokens of max(-A ratio, -A clip(ratio, 1 - clip, 1 + clip)), all [B, R] (Schulman et
    al. 2017, equation 7).

    approx_kl: sum of (log ratio)^2 / 2, an estimate of KL(old || new) for a small ratio.
    """
    log_ratio = torch.where(mask, log_probs - old, torch.zeros_like(log_probs))
    ratio = log_ratio.exp()
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    with torch.no_grad():
        watched = (
            masked_sum(0.5 * log_ratio**2, mask),
            masked_sum((clipped > plain).float(), mask),
            masked_sum(ratio, mask),
        )
    return PolicyLoss(masked_sum(torch.maximum(plain, clipped), mask), *watched)


def value_loss(
    values: torch.Tensor,
    old: torch.Tensor,
    returns: torch.Tensor,
    mask: torch.Tensor,
    clip: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum over tokens of max((V - R)^2, (clip(V, old +- clip) - R)^2) / 2, all [B, R], and the
    number of clipped tokens."""
    nothing = torch.zeros_like(values)
    plain = torch.where(mask, values - returns, nothing) ** 2
    if clip is None:
        return 0.5 * masked_sum(plain, mask), torch.zeros((), device=values.device)
    clipped = torch.where(mask, old + (values - old).clamp(-clip, clip) - returns, nothing) ** 2
    return 0.5 * masked_sum(torch.maximum(plain, clipped), mask), masked_sum(
        (clipped > plain).float(), mask
    ).detach()


def adapted_coefficient(
    coef: float, kl: float, target: float, horizon: float, episodes: int
) -> float:
    """The KL coefficient after a rollout batch (Ziegler et al. 2019, section 2.2): coef (1 +
    clip(kl / target - 1, -0.2, 0.2) episodes / horizon). kl: nats per episode, mean of the
    batch."""
    error = min(0.2, max(-0.2, kl / target - 1))
    return coef * (1 + error * episodes / horizon)
