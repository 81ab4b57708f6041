"""What a model says of sampled tokens, for the check that both sides sample from the same
distribution. Imports torch alone, so that both environments can use it. Shapes: B rows, R
response tokens, V vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

BINS = 10
ROWS = 8
"""Rows that are judged at a time: judging shall not need more memory than sampling."""


def judged(logits: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """logits [B, R, V] that predict ids [B, R], mask [B, R] of real tokens -> the log-probability
    of each real token, and how the tokens fall into ten bins that are equally likely if they were
    drawn from these logits.

    The bin is the tenth in which (probability of all likelier tokens + half of the token's own)
    falls, spread over the token's own share: a token that covers several bins counts in each by
    its share, so that a discrete distribution fills them evenly.
    """
    probabilities = logits[mask].double().softmax(-1)
    chosen = ids[mask]
    own = probabilities.gather(1, chosen[:, None])
    tokens = torch.arange(probabilities.shape[1], device=chosen.device)[None, :]
    likelier = (probabilities > own) | ((probabilities == own) & (tokens < chosen[:, None]))
    below = (probabilities * likelier).sum(1, keepdim=True)
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float64, device=chosen.device)
    covered = (torch.minimum(edges[1:], below + own) - torch.maximum(edges[:-1], below)).clamp_min(
        0
    )
    bins = (covered / covered.sum(1, keepdim=True)).sum(0)
    return {"log_probs": own.log().squeeze(1).tolist(), "bins": bins.tolist()}


def together(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The judgement of several groups of rows."""
    log_probs: list[float] = []
    bins = [0.0] * BINS
    for part in parts:
        log_probs += part["log_probs"]
        bins = [a + b for a, b in zip(bins, part["bins"], strict=True)]
    return {"log_probs": log_probs, "bins": bins}
