"""Decoding the responses of a batch token by token."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

from preflab.interfaces import Cache, Policy
from preflab_builtin.rollouts.prompts import up_to_end
from preflab_builtin.rollouts.sampling import draw

COMPACT_AT = 0.25
"""Share of ended rows at which the batch is compacted: below it copying the cache costs more than
it saves."""

LOOK_EVERY = 16
"""Steps on a GPU between looks at which rows have ended."""


def decode_one(
    policy: Policy,
    prompt: tuple[torch.Tensor, torch.Tensor],
    noise: torch.Tensor,
    temperature: float,
    within: Callable[[], contextlib.AbstractContextManager[None]],
) -> Iterator[int]:
    """The tokens of one response as `decode` draws them, one by one, the end token included.

    prompt: ids [1, Q] and mask [1, Q]; noise [1, R]: R tokens at most; within: what the model is
    called in, entered for each token, because others may use the model between two of them.
    """
    with within():
        logits, cache = policy.prefill(*prompt)
    for step in range(noise.shape[1]):
        with within():
            drawn = draw(logits, noise[:, step], temperature)
        token = int(drawn)
        yield token
        if token in policy.tokenizer.end_ids or step + 1 == noise.shape[1]:
            return
        with within():
            logits, cache = policy.extend(drawn, cache)


def decode(
    policy: Policy, logits: torch.Tensor, cache: Cache, noise: torch.Tensor, temperature: float
) -> list[list[int]]:
    """Token lists of B responses, each cut after its first end token.

    logits [B, V] and cache: what `Policy.prefill` returned; noise [B, R]: R tokens at most.
    """
    steps, end_ids = noise.shape[1], policy.tokenizer.end_ids
    ends = torch.tensor(sorted(end_ids), device=logits.device)
    tokens = torch.zeros(noise.shape, dtype=torch.long, device=logits.device)
    rows = torch.arange(len(noise), device=logits.device)
    live = torch.ones_like(rows, dtype=torch.bool)
    look_every = 1 if logits.device.type == "cpu" else LOOK_EVERY
    for step in range(steps):
        drawn = draw(logits, noise[rows, step], temperature)
        tokens[rows, step] = drawn
        live = live & ~torch.isin(drawn, ends)
        if step + 1 == steps:
            break
        # Asking a GPU how many rows are live means waiting for it. It is cheaper to decode some
        # steps beyond an end and to cut them off.
        live_rows = int(live.sum()) if step % look_every == 0 else len(rows)
        if live_rows == 0:
            break
        if live_rows <= (1 - COMPACT_AT) * len(rows):
            still = live.nonzero().squeeze(-1)
            rows, drawn, live, cache = rows[still], drawn[still], live[still], cache.select(still)
        logits, cache = policy.extend(drawn, cache)
    return [up_to_end(ids, end_ids) for ids in tokens.tolist()]
