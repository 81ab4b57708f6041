"""What PPO gives to the on-policy core: advantages and the losses of both networks, per token.

Shapes: B rows, R response tokens.
"""

from __future__ import annotations

import torch

from preflab.functional import gae, whiten
from preflab_builtin.on_policy.rules import TokenLoss
from preflab_builtin.ppo.config import AdvantageConfig


def estimated_advantages(
    rewards: torch.Tensor,
    values: torch.Tensor | None,
    mask: torch.Tensor,
    settings: AdvantageConfig,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages by GAE, whitened over the tokens of all rows if asked for, and returns, [B, R]."""
    assert values is not None, "PPO has a value network"
    advantages, returns = gae(rewards, values, mask, settings.gamma, settings.lam)
    return whiten(advantages, mask) if settings.whiten else advantages, returns


def value_loss(
    values: torch.Tensor,
    old: torch.Tensor,
    returns: torch.Tensor,
    mask: torch.Tensor,
    clip: float | None,
) -> TokenLoss:
    """max((V - R)^2, (clip(V, old +- clip) - R)^2) / 2, all [B, R]."""
    nothing = torch.zeros_like(values)
    plain = torch.where(mask, values - returns, nothing) ** 2
    if clip is None:
        return TokenLoss(0.5 * plain, torch.zeros_like(mask))
    clipped = torch.where(mask, old + (values - old).clamp(-clip, clip) - returns, nothing) ** 2
    return TokenLoss(0.5 * torch.maximum(plain, clipped), clipped > plain)
