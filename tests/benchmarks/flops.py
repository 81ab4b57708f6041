"""Floating-point operations of the work, counted from the shapes: what the task needs, not what a
program happens to do.

A multiplication and an addition are two. Only matrix products count: projections, attention
scores and their weighted sums (each token against itself and those before it), MLP, unembedding
where a token's logits are needed. A backward pass is two forward passes. Pads, repeated prompts
and discarded logits are no work: who computes them has a lower fraction of the peak.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.shapes import PPOShape, RankingShape, RolloutShape, Size


def dense(size: Size) -> float:
    """Of one token through all blocks, without attention's own products: 2 x weights."""
    keys = size.width // size.heads * size.kv_heads
    attention = 2 * size.width * size.width + 2 * size.width * keys
    mlp = (3 if size.family == "llama" else 2) * size.width * size.mlp
    return 2.0 * size.layers * (attention + mlp)


def attended(size: Size, first: int, last: int) -> float:
    """Of attention's products of the tokens at positions first .. last - 1: 4 D a layer for each
    position that is seen."""
    seen = (last * (last + 1) - first * (first + 1)) / 2
    return 4.0 * size.layers * size.width * seen


def forward(size: Size, first: int, last: int) -> float:
    """Of the tokens at positions first .. last - 1 of one row, up to the last hidden state."""
    return (last - first) * dense(size) + attended(size, first, last)


def unembedding(size: Size, tokens: int) -> float:
    """Of the logits of n tokens."""
    return 2.0 * size.width * size.vocabulary * tokens


def rollout(size: Size, shape: RolloutShape, lengths: Sequence[int]) -> float:
    """Sampling responses of these lengths: each token is read once (the last sampled one is not),
    each sampled token has its logits."""
    return sum(forward(size, 0, shape.prompt + n - 1) + unembedding(size, n) for n in lengths)


def ppo_iteration(size: Size, shape: PPOShape) -> float:
    """Sampling; forward passes of policy, reference, value network and reward model; a training
    pass (three forward passes) of policy and value network. Logits of response tokens, of the
    three passes of policies: 1 + 1 + 1 + 3 times."""
    whole = forward(size, 0, shape.prompt + shape.response)
    logits = unembedding(size, shape.response)
    sampled = forward(size, 0, shape.prompt + shape.response - 1) + logits
    return shape.batch * (sampled + 4 * whole + 2 * logits + 3 * (2 * whole + logits))


def ranking_step(size: Size, shape: RankingShape) -> float:
    """A training pass over the K completions of each prompt, the prompt read once."""
    completions = shape.k * forward(size, shape.prompt, shape.prompt + shape.response)
    return 3 * shape.prompts * (forward(size, 0, shape.prompt) + completions)


def sft_step(size: Size, lengths: Sequence[int]) -> float:
    """A training pass over rows of these lengths with logits for every token that is predicted."""
    return sum(3 * (forward(size, 0, n - 1) + unembedding(size, n - 1)) for n in lengths)
