"""Token losses of a causal LM: which hidden states are unembedded, and summed over what.

Shapes: B batch, T tokens, N chosen tokens, D width, V vocabulary. Sums, never means: the caller
divides by the number of tokens of its whole optimizer step, over micro-batches and processes (4
tokens of loss 1 and 1 of loss 5 are 1.8, not 3).
"""

from __future__ import annotations

import torch

from preflab.interfaces import Policy


def nll_sum(
    policy: Policy, ids: torch.Tensor, mask: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Sum of -log p(token | tokens before it) over the chosen tokens, a float32 scalar.

    ids [B, T]; mask [B, T] bool: real tokens; targets [B, T] bool: tokens that carry loss (column
    0 is ignored). Only hidden states before a target are unembedded: prompts and pads cost no
    logits.
    """
    return -target_log_probs(policy, ids, mask, targets).sum()


def target_log_probs(
    policy: Policy, ids: torch.Tensor, mask: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """log p(token | tokens before it) of the chosen tokens, row by row: [N] float32, arguments as
    in `nll_sum`."""
    chosen = targets[:, 1:]
    before = torch.zeros_like(mask)
    before[:, :-1] = chosen
    return policy.log_probs(policy.hidden_at(ids, mask, before), ids[:, 1:][chosen])[0]
