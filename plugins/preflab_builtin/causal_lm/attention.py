"""Positions and attention masks from the mask of real tokens. Shapes: B batch, T tokens."""

from __future__ import annotations

from typing import Any

import torch

PLAIN_CAUSAL = frozenset({"llama", "gpt2"})
"""Model types whose attention is plainly causal in every layer: they get our own masks, which are
cheaper. Others (sliding windows and the like) get the mask of real tokens and make their own."""


def model_inputs(model_type: str, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """What a transformers model reads: ids, mask [B, T] bool -> its arguments. Positions always
    count real tokens."""
    if model_type not in PLAIN_CAUSAL:
        return {
            "input_ids": ids,
            "attention_mask": mask.long(),
            "position_ids": positions_of(mask),
        }
    if starts_at_left(mask):
        # Right pads come after all real tokens: causality hides them, and the fast kernel needs no
        # mask.
        positions = torch.arange(ids.shape[1], device=ids.device)[None, :]
        return {"input_ids": ids, "position_ids": positions}
    return {
        "input_ids": ids,
        "attention_mask": causal_mask(mask),
        "position_ids": positions_of(mask),
    }


def positions_of(mask: torch.Tensor) -> torch.Tensor:
    """mask [B, T] bool -> position ids [B, T]: the number of real tokens before each one; 0 on left
    pads. Without them models with learned positions are silently wrong on left-padded rows."""
    return (mask.long().cumsum(-1) - 1).clamp_min(0)


def starts_at_left(mask: torch.Tensor) -> bool:
    """Whether all rows begin with a real token and have no hole: then causality alone hides the
    right pads."""
    return bool(mask[:, 0].all()) and bool((mask[:, 1:] <= mask[:, :-1]).all())


def causal_mask(mask: torch.Tensor) -> torch.Tensor:
    """mask [B, T] -> [B, 1, T, T] bool: which token attends to which. Each slot sees itself, so
    that pads do not become nan (0 * nan would then reach real tokens through the values)."""
    width = mask.shape[1]
    past = torch.ones(width, width, dtype=torch.bool, device=mask.device).tril()
    itself = torch.eye(width, dtype=torch.bool, device=mask.device)
    return (past & mask[:, None, None, :]) | itself
