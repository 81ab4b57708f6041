"""Prompts as token lists, checked and padded into a batch; responses to them as a `Rollout`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from preflab.interfaces import Policy
from preflab.lengths import refuse_nothing, refuse_prompts
from preflab.records import Prompt, Rollout


def prompt_tokens(policy: Policy, prompts: Sequence[Prompt], max_tokens: int) -> list[list[int]]:
    """Token ids of each prompt; `UserError` naming a prompt that is empty or leaves no room for a
    response."""
    limit = policy.max_positions
    encoded = [policy.tokenizer.encode_prompt(prompt) for prompt in prompts]
    for prompt, ids in zip(prompts, encoded, strict=True):
        refuse_nothing(prompt, len(ids))
    refuse_prompts(zip(prompts, map(len, encoded), strict=True), limit, max_tokens)
    return encoded


def left_padded(
    rows: Sequence[Sequence[int]], pad_id: int, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token lists -> ids [B, Q] padded on the left and mask [B, Q] bool."""
    ids = [torch.tensor(row) for row in rows]
    real = [torch.ones(len(row), dtype=torch.bool) for row in rows]
    padded = pad_sequence(ids, batch_first=True, padding_value=pad_id, padding_side="left")
    mask = pad_sequence(real, batch_first=True, padding_side="left")
    return padded.to(device), mask.to(device)


def up_to_end(ids: list[int], end_ids: Collection[int]) -> list[int]:
    """A response up to and including its first end token; all of it if it has none."""
    return next((ids[: i + 1] for i, token in enumerate(ids) if token in end_ids), ids)


def rollout_of(
    policy: Policy,
    prompts: Sequence[Prompt],
    encoded: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    device: torch.device,
    log_probs: Sequence[Sequence[float]] | None = None,
    weights: str = "",
) -> Rollout:
    """Prompts, their tokens, and the tokens of the responses: the same number of consecutive ones
    for each prompt. log_probs, weights: what an engine says of them."""
    samples = len(responses) // max(1, len(prompts))
    rows = [i for i in range(len(prompts)) for _ in range(samples)]
    return Rollout.from_tokens(
        policy.tokenizer,
        [prompts[i] for i in rows],
        [encoded[i] for i in rows],
        responses,
        device,
        log_probs=log_probs,
        weights=weights,
    )
