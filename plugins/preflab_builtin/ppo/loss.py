"""The PPO losses as sums over tokens; the caller divides by one global number of tokens. Shapes: B rows, R tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from preflab.functional import masked_sum


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
    """Sum of max(-A ratio, -A clip(ratio, 1 - clip, 1 + clip)) over tokens (Schulman et al. 2017, equation 7), all [B, R].

    approx_kl: sum of (log ratio)^2 / 2, an estimate of KL(old || new) near it.
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
    """Sum of max((V - R)^2, (clip(V, old +- clip) - R)^2) / 2 over tokens, all [B, R], and the number of clipped tokens."""
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
    """The KL coefficient after a rollout batch: coef (1 + clip(kl / target - 1, -0.2, 0.2) episodes / horizon)
    (Ziegler et al. 2019, section 2.2). kl: nats an episode, mean of the batch."""
    error = min(0.2, max(-0.2, kl / target - 1))
    return coef * (1 + error * episodes / horizon)
