"""Token losses of a causal LM: which hidden states are unembedded, in which pieces, and summed over what.

Shapes: B batch, T tokens, N chosen tokens, D width, V vocabulary. Sums, never means: the caller divides by the number of
tokens of its whole optimizer step, over micro-batches and processes (4 tokens of loss 1 and 1 of loss 5 are 1.8, not 3).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.checkpoint import checkpoint

from preflab.functional import token_log_probs
from preflab.interfaces import Policy

CHUNK = 2**26
"""Largest number of logits kept for the backward pass (256 MB in float32); beyond it pieces are recomputed."""


def target_mask(lengths: torch.Tensor, starts: torch.Tensor, width: int) -> torch.Tensor:
    """lengths [B], starts [B] -> [B, T] bool: tokens starts..lengths-1 of right-padded rows carry loss. The first token of
    a row never does, as nothing predicts it."""
    slots = torch.arange(width, device=lengths.device)[None, :]
    return (slots >= starts.clamp_min(1)[:, None]) & (slots < lengths[:, None])


def nll_sum(policy: Policy, ids: torch.Tensor, mask: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum of -log p(token | tokens before it) over the chosen tokens, a float32 scalar.

    ids [B, T]; mask [B, T] bool: real tokens; targets [B, T] bool: tokens that carry loss (column 0 is ignored). Only
    hidden states before a target are unembedded: prompts and pads cost no logits.
    """
    hidden = policy.hidden(ids, mask)
    chosen = targets[:, 1:]
    return -chosen_log_probs(policy, hidden[:, :-1][chosen], ids[:, 1:][chosen]).sum()


def chosen_log_probs(policy: Policy, hidden: torch.Tensor, ids: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """hidden [N, D] and the token that follows each, ids [N] -> log-probabilities [N], as gather - logsumexp in float32.
    With more than CHUNK logits the pieces are recomputed in the backward pass; the numbers are the same."""

    def piece(states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        return token_log_probs(policy.logits(states), tokens, temperature)

    rows = max(1, CHUNK // max(1, policy.tokenizer.size))
    if len(ids) <= rows:
        return piece(hidden, ids)
    pieces = zip(torch.split(hidden, rows), torch.split(ids, rows), strict=True)
    return torch.cat([_recomputed(piece, states, tokens) for states, tokens in pieces])


def _recomputed(
    piece: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], states: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
    result: torch.Tensor = checkpoint(piece, states, tokens, use_reentrant=False)
    return result
