"""preflab's sampling engine: batched decoding with a key-value cache, in which rows do not
influence each other.

A prompt is read once, whatever the number of its samples; rows that have ended leave the batch
when they are a quarter of it; decoding stops when all have ended. Neither changes a token: the
noise of a row is fixed before decoding starts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from preflab.interfaces import Cache, Context, Policy, Sampling
from preflab.records import Prompt, Rollout
from preflab.runtime import Runtime
from preflab_builtin.rollouts.config import NativeConfig
from preflab_builtin.rollouts.prompts import left_padded, prompt_tokens, rollout_of, up_to_end
from preflab_builtin.rollouts.sampling import draw, row_noise

COMPACT_AT = 0.25
"""Share of ended rows at which the batch is compacted: below it copying the cache costs more than
it saves."""

LOOK_EVERY = 16
"""Steps on a GPU between looks at which rows have ended."""


def native(config: NativeConfig, context: Context) -> NativeEngine:
    """The component ``native``."""
    return NativeEngine(config, context.runtime)


class NativeEngine:
    """`preflab.interfaces.RolloutEngine`."""

    def __init__(self, config: NativeConfig, runtime: Runtime) -> None:
        self.sampling = Sampling(config.max_tokens, config.temperature)
        self.batch, self.runtime = config.batch, runtime

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        """Responses to the prompts, ``sampling.samples`` consecutive rows for each."""
        encoded = prompt_tokens(policy, prompts, sampling.max_tokens)
        responses: list[list[int]] = [[] for _ in range(len(prompts) * sampling.samples)]
        # Prompts of similar length share a batch: fewer pads, the same tokens.
        order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
        prompts_at_a_time = max(1, self.batch // sampling.samples)
        with torch.inference_mode(), self.runtime.autocast():
            for group in self.runtime.micro_batches(order, prompts_at_a_time):
                self._respond(policy, encoded, group, sampling, seed, responses)
        return rollout_of(policy, prompts, encoded, responses, self.runtime.device)

    def _respond(
        self,
        policy: Policy,
        encoded: Sequence[Sequence[int]],
        group: Sequence[int],
        sampling: Sampling,
        seed: Sequence[int | str],
        responses: list[list[int]],
    ) -> None:
        """Read a group of prompts once and decode all their samples, at most ``batch`` rows at a
        time."""
        group_tokens = [encoded[i] for i in group]
        ids, mask = left_padded(group_tokens, policy.tokenizer.pad_id, self.runtime.device)
        logits, cache = policy.prefill(ids, mask)
        rows = [
            (place, prompt * sampling.samples + k)
            for place, prompt in enumerate(group)
            for k in range(sampling.samples)
        ]
        for piece in self.runtime.micro_batches(rows, self.batch):
            numbers = [number for _, number in piece]
            global_numbers = [sampling.first_row + number for number in numbers]
            noise = row_noise(seed, global_numbers, sampling.max_tokens).to(logits.device)
            piece_logits, piece_cache = logits, cache
            # One row per prompt, all in this piece: the cache of the prompts is used up, uncopied.
            if sampling.samples > 1 or len(piece) < len(group):
                places = torch.tensor([place for place, _ in piece], device=logits.device)
                piece_logits, piece_cache = logits.index_select(0, places), cache.select(places)
            decoded = decode(policy, piece_logits, piece_cache, noise, sampling.temperature)
            for number, response in zip(numbers, decoded, strict=True):
                responses[number] = response


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
