"""Positions and attention masks from the mask of real tokens. Shapes: B batch, T tokens."""

from __future__ import annotations

import torch


def positions_of(mask: torch.Tensor) -> torch.Tensor:
    """mask [B, T] bool -> position ids [B, T]: the number of real tokens before each one; 0 on left pads. Without them
    models with learned positions are silently wrong on left-padded rows."""
    return (mask.long().cumsum(-1) - 1).clamp_min(0)


def starts_at_left(mask: torch.Tensor) -> bool:
    """Whether all rows begin with a real token and have no hole: then causality alone hides the right pads."""
    return bool(mask[:, 0].all()) and bool((mask[:, 1:] <= mask[:, :-1]).all())


def causal_mask(mask: torch.Tensor) -> torch.Tensor:
    """mask [B, T] -> [B, 1, T, T] bool: who may look at whom. Each slot sees itself, so that pads do not become nan
    (0 * nan would then reach real tokens through the values)."""
    width = mask.shape[1]
    past = torch.ones(width, width, dtype=torch.bool, device=mask.device).tril()
    itself = torch.eye(width, dtype=torch.bool, device=mask.device)
    return (past & mask[:, None, None, :]) | itself
