"""Demonstrations as tokens and as right-padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from preflab.interfaces import Tokenizer
from preflab.lengths import refuse_rows
from preflab.records import Demonstration
from preflab_builtin.sft.config import LossOn
from preflab_builtin.sft.preflight import refuse_empty


@dataclass(frozen=True)
class Example:
    """A demonstration as tokens: prompt, response, end token. loss: which of them carry loss."""

    ids: tuple[int, ...]
    loss: tuple[bool, ...]

    @property
    def targets(self) -> int:
        """Number of tokens that carry loss."""
        return sum(self.loss)


def examples(
    demonstrations: Sequence[Demonstration],
    tokenizer: Tokenizer,
    loss_on: LossOn,
    limit: int | None,
) -> list[Example]:
    """One example per demonstration, in order; `UserError` naming one that is longer than ``limit``
    tokens or empty."""
    rows = [_example(each, tokenizer, loss_on) for each in demonstrations]
    sizes = ((each.prompt, len(row.ids)) for each, row in zip(demonstrations, rows, strict=True))
    refuse_rows("demonstrations", sizes, limit)
    return rows


def _example(demonstration: Demonstration, tokenizer: Tokenizer, loss_on: LossOn) -> Example:
    prompt, response = demonstration.prompt, demonstration.response
    if loss_on is LossOn.all_turns:
        ids, loss = tokenizer.encode_turns(prompt, response)
    else:
        asked, answered = (
            tokenizer.encode_prompt(prompt),
            tokenizer.encode_response(prompt, response),
        )
        ids = [*asked, *answered]
        loss = [loss_on is LossOn.full] * len(asked) + [True] * len(answered)
    refuse_empty(demonstration, len(ids) - 1)
    loss[0] = False  # nothing predicts the first token of a row
    return Example(tuple(ids), tuple(loss))


def padded(
    rows: Sequence[Example], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Examples -> ids [B, T] right-padded to the longest, mask [B, T] of real tokens, targets [B,
    T] of loss tokens."""
    width = max(len(row.ids) for row in rows)
    ids = torch.tensor([[*row.ids, *[pad_id] * (width - len(row.ids))] for row in rows])
    lengths = torch.tensor([len(row.ids) for row in rows])
    mask = torch.arange(width)[None, :] < lengths[:, None]
    targets = torch.tensor([[*row.loss, *[False] * (width - len(row.ids))] for row in rows])
    return ids.to(device), mask.to(device), targets.to(device)
