"""Prompts as token lists, checked, and left-padded into a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from preflab.errors import UserError
from preflab.interfaces import Policy
from preflab.records import Prompt


def prompt_tokens(policy: Policy, prompts: Sequence[Prompt], max_tokens: int) -> list[list[int]]:
    """Token ids of each prompt; `UserError` naming the prompt that is empty or leaves no room for
    a response."""
    limit = policy.max_positions
    encoded = [policy.tokenizer.encode(prompt.text) for prompt in prompts]
    for prompt, ids in zip(prompts, encoded, strict=True):
        if not ids:
            raise UserError(
                f"Prompt {prompt.id!r} has no tokens: there is nothing to answer. Drop it with a filter."
            )
        if limit is not None and len(ids) + max_tokens > limit:
            raise UserError(
                f"Prompt {prompt.id!r} has {len(ids)} tokens; with rollout.max_tokens={max_tokens} that is more than the "
                f"policy's {limit} positions. Drop long prompts with a filter, or lower rollout.max_tokens."
            )
    return encoded


def left_padded(
    rows: Sequence[Sequence[int]], pad_id: int, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token lists -> ids [B, Q] padded on the left and mask [B, Q] bool."""
    width = max(len(ids) for ids in rows)
    padded = torch.tensor(
        [[pad_id] * (width - len(ids)) + list(ids) for ids in rows], dtype=torch.long, device=device
    )
    lengths = torch.tensor([len(ids) for ids in rows], device=device)
    return padded, torch.arange(width, device=device)[None, :] >= width - lengths[:, None]
