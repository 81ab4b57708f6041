"""Demonstrations as tokens and as right-padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from preflab.errors import UserError
from preflab.interfaces import Tokenizer
from preflab.records import Demonstration
from preflab_builtin.causal_lm.losses import target_mask
from preflab_builtin.sft.config import LossOn


@dataclass(frozen=True)
class Example:
    """A demonstration as tokens: prompt, response, end token. start: index of the first token that
    carries loss."""

    ids: tuple[int, ...]
    start: int

    @property
    def targets(self) -> int:
        """Number of tokens that carry loss."""
        return len(self.ids) - self.start


def examples(
    demonstrations: Sequence[Demonstration],
    tokenizer: Tokenizer,
    loss_on: LossOn,
    limit: int | None,
) -> list[Example]:
    """One example per demonstration, in order; `UserError` naming one that is longer than ``limit``
    tokens or empty."""
    rows = []
    for demonstration in demonstrations:
        prompt = tokenizer.encode(demonstration.prompt.text)
        ids = (*prompt, *tokenizer.encode(demonstration.response), tokenizer.eos_id)
        if limit is not None and len(ids) > limit:
            raise UserError(
                f"The demonstration for prompt {demonstration.prompt.id!r} has {len(ids)} tokens, "
                f"more than the policy's {limit} positions. Drop long ones with a filter, or raise "
                "policy.max_positions (a model made from scratch)."
            )
        # Nothing predicts the first token of a row, so it never carries loss.
        start = max(1, len(prompt)) if loss_on is LossOn.completion else 1
        if len(ids) == 1:
            raise UserError(
                f"The demonstration for prompt {demonstration.prompt.id!r} is empty: neither "
                "prompt nor response."
            )
        rows.append(Example(ids, start))
    return rows


def padded(
    rows: Sequence[Example], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Examples -> ids [B, T] right-padded to the longest, mask [B, T] of real tokens, targets [B,
    T] of loss tokens."""
    width = max(len(row.ids) for row in rows)
    ids = torch.tensor(
        [[*row.ids, *[pad_id] * (width - len(row.ids))] for row in rows], dtype=torch.long
    )
    lengths = torch.tensor([len(row.ids) for row in rows])
    mask = torch.arange(width)[None, :] < lengths[:, None]
    targets = target_mask(lengths, torch.tensor([row.start for row in rows]), width)
    return ids.to(device), mask.to(device), targets.to(device)
