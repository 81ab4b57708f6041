"""preflab's sampling engine: KV-cached batched decoding in which rows do not influence each other.

A prompt is read once, whatever the number of its samples; rows that have ended leave the batch
when they are a quarter of it; decoding stops when all have ended. Neither changes a token: a row's
noise is fixed before decoding starts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from preflab.interfaces import Cache, Policy, Sampling
from preflab.records import Prompt, Rollout
from preflab.runtime import Runtime
from preflab_builtin.rollouts.config import NativeConfig
from preflab_builtin.rollouts.prompts import left_padded, prompt_tokens
from preflab_builtin.rollouts.sampling import draw, row_noise

COMPACT_AT = 0.25
"""Share of ended rows at which the batch is compacted: below it copying the cache costs more than
it saves."""

ASK_EVERY = 16
"""Steps on a GPU between looks at which rows have ended."""


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
        """Responses to the prompts, ``sampling.samples`` consecutive rows each."""
        encoded = prompt_tokens(policy, prompts, sampling.max_tokens)
        answers: list[list[int]] = [[] for _ in range(len(prompts) * sampling.samples)]
        # Prompts of similar length share a batch: fewer pads, the same tokens.
        order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
        together = max(1, self.batch // sampling.samples)
        with torch.inference_mode(), self.runtime.autocast():
            for group in self.runtime.micro_batches(order, together):
                self._answer(policy, encoded, group, sampling, seed, answers)
        device = self.runtime.device
        rows = [i for i in range(len(prompts)) for _ in range(sampling.samples)]
        return Rollout.from_tokens(
            policy.tokenizer,
            [prompts[i] for i in rows],
            [encoded[i] for i in rows],
            answers,
            device,
        )

    def _answer(
        self,
        policy: Policy,
        encoded: Sequence[Sequence[int]],
        group: Sequence[int],
        sampling: Sampling,
        seed: Sequence[int | str],
        answers: list[list[int]],
    ) -> None:
        """Read a group of prompts once and decode all their samples, at most ``batch`` rows at a
        time."""
        ids, mask = left_padded(
            [encoded[i] for i in group], policy.tokenizer.pad_id, self.runtime.device
        )
        logits, cache = policy.prefill(ids, mask)
        rows = [
            (at, prompt * sampling.samples + k)
            for at, prompt in enumerate(group)
            for k in range(sampling.samples)
        ]
        for piece in self.runtime.micro_batches(rows, self.batch):
            places = torch.tensor([at for at, _ in piece], device=logits.device)
            numbers = [number for _, number in piece]
            noise = row_noise(
                seed, [sampling.first_row + number for number in numbers], sampling.max_tokens
            ).to(logits.device)
            first, kept = logits, cache
            if sampling.samples > 1 or len(piece) < len(
                group
            ):  # else what the prompts left is used up here, uncopied
                first, kept = logits.index_select(0, places), cache.select(places)
            found = decode(policy, first, kept, noise, sampling.temperature)
            for number, answer in zip(numbers, found, strict=True):
                answers[number] = answer


def decode(
    policy: Policy, logits: torch.Tensor, cache: Cache, noise: torch.Tensor, temperature: float
) -> list[list[int]]:
    """Token lists of B responses, each cut after its first end token.

    logits [B, V] and cache: what `Policy.prefill` gave; noise [B, R]: R tokens at most.
    """
    steps, eos = noise.shape[1], policy.tokenizer.eos_id
    tokens = torch.zeros(noise.shape, dtype=torch.long, device=logits.device)
    rows = torch.arange(len(noise), device=logits.device)
    live = torch.ones_like(rows, dtype=torch.bool)
    ask_every = 1 if logits.device.type == "cpu" else ASK_EVERY
    for step in range(steps):
        drawn = draw(logits, noise[rows, step], temperature)
        tokens[rows, step] = drawn
        live = live & (drawn != eos)
        if step + 1 == steps:
            break
        # To ask a GPU how many rows are left is to wait for it; decoding some steps beyond an end
        # is cheaper, and is cut off.
        left = int(live.sum()) if step % ask_every == 0 else len(rows)
        if left == 0:
            break
        if left <= (1 - COMPACT_AT) * len(rows):
            keep = live.nonzero().squeeze(-1)
            rows, drawn, live, cache = rows[keep], drawn[keep], live[keep], cache.select(keep)
        logits, cache = policy.extend(drawn, cache)
    return [ids[: ids.index(eos) + 1] if eos in ids else ids for ids in tokens.tolist()]
