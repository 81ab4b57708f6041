"""Prompts whose responses all have the same score: which they are, and others in their place."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from preflab.interfaces import Tokenizer
from preflab.records import Rollout


def without_signal(scores: torch.Tensor, samples: int) -> list[int]:
    """The prompts, by number, whose ``samples`` consecutive scores of [B] are all equal: no
    response is better than another (DAPO, arXiv 2503.14476, section 3.2)."""
    groups = scores.view(-1, samples)
    return (groups == groups[:, :1]).all(-1).nonzero().flatten().tolist()


def replaced(
    rollout: Rollout, rows: Sequence[int], other: Rollout, tokenizer: Tokenizer
) -> Rollout:
    """A rollout with the rows of another one in the place of some, in order."""
    tokens, texts, prompts = rollout.tokens(), list(rollout.texts), list(rollout.prompts)
    for row, ids, text, prompt in zip(
        rows, other.tokens(), other.texts, other.prompts, strict=True
    ):
        tokens[row], texts[row], prompts[row] = ids, text, prompt
    device = rollout.prompt_ids.device
    asked, answered = [q for q, _ in tokens], [r for _, r in tokens]
    drawn_by, others = rollout.drawn_by(), other.drawn_by()
    if drawn_by is None or others is None:
        drawn_by = None
    else:
        for row, values in zip(rows, others, strict=True):
            drawn_by[row] = values
    weights = " and ".join(sorted({rollout.weights, other.weights}))
    return Rollout.from_tokens(
        tokenizer, prompts, asked, answered, device, texts, drawn_by, weights
    )
