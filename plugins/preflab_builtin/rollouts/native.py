"""preflab's sampling engine: batched decoding with a key-value cache, in which rows do not
influence each other.

A prompt is read once, whatever the number of its samples; rows that have ended leave the batch
when they are a quarter of it; decoding stops when all have ended. Neither changes a token: the
noise of a row is fixed before decoding starts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from preflab.errors import UserError
from preflab.interfaces import AskedRow, Context, Policy, RowStream, Sampling
from preflab.records import Prompt, Rollout
from preflab_builtin.rollouts.config import NativeConfig
from preflab_builtin.rollouts.engine import Engine


def native(config: NativeConfig, context: Context) -> NativeEngine:
    """The component ``native``."""
    return NativeEngine(config, context.runtime)


class NativeEngine(Engine):
    """`preflab.interfaces.RolloutEngine`."""

    gives_log_probs = True

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        """Responses to the prompts, ``sampling.samples`` consecutive rows for each."""
        import torch

        from preflab_builtin.rollouts.prompts import prompt_tokens, rollout_of

        encoded = prompt_tokens(policy, prompts, sampling.max_tokens)
        responses: list[list[int]] = [[] for _ in range(len(prompts) * sampling.samples)]
        said: list[list[float]] | None = [[] for _ in responses] if sampling.log_probs else None
        # Prompts of similar length share a batch: fewer pads, the same tokens.
        order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
        prompts_at_a_time = max(1, self.batch // sampling.samples)
        with torch.inference_mode(), self.runtime.autocast():
            for group in self.runtime.micro_batches(order, prompts_at_a_time):
                self._respond(policy, encoded, group, sampling, seed, responses, said)
        return rollout_of(policy, prompts, encoded, responses, self.runtime.device, said)

    def stream(
        self, policy: Policy, prompt: Prompt, sampling: Sampling, seed: Sequence[int | str]
    ) -> Iterator[int]:
        """The tokens of one response, one by one."""
        from preflab_builtin.rollouts.decoding import decode_one
        from preflab_builtin.rollouts.prompts import left_padded, prompt_tokens
        from preflab_builtin.rollouts.sampling import row_noise

        encoded = prompt_tokens(policy, [prompt], sampling.max_tokens)
        read = left_padded(encoded, policy.tokenizer.pad_id, self.runtime.device)
        noise = row_noise(seed, [sampling.first_row], sampling.max_tokens).to(read[0].device)
        yield from decode_one(policy, read, noise, sampling.temperature, self._within)

    def stream_rows(
        self, policy: Policy, rows: Sequence[AskedRow], temperature: float
    ) -> RowStream:
        """Rows of several requests, decoded together."""
        from preflab_builtin.rollouts.decoding import DecodedRows

        limit = policy.max_positions
        for row in rows:
            if not row.prompt or row.max_tokens < 1:
                raise UserError("A row needs a token in its prompt, and one in its response.")
            if limit is not None and len(row.prompt) + row.max_tokens > limit:
                raise UserError(
                    f"{len(row.prompt)} tokens of the prompt and {row.max_tokens} of the response "
                    f"are more than the {limit} positions of the policy."
                )
        return DecodedRows(policy, rows, temperature, self.runtime.device, self._within)

    @contextlib.contextmanager
    def _within(self) -> Iterator[None]:
        import torch

        with torch.inference_mode(), self.runtime.autocast():
            yield

    def _respond(
        self,
        policy: Policy,
        encoded: Sequence[Sequence[int]],
        group: Sequence[int],
        sampling: Sampling,
        seed: Sequence[int | str],
        responses: list[list[int]],
        said: list[list[float]] | None,
    ) -> None:
        """Read a group of prompts once and decode all their samples, at most ``batch`` rows at a
        time. responses, said (None: not asked for): the tokens of all rows and their log-probs,
        into which those of this group go."""
        import torch

        from preflab_builtin.rollouts.decoding import decode
        from preflab_builtin.rollouts.prompts import left_padded
        from preflab_builtin.rollouts.sampling import row_noise

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
            drawn_by = None if said is None else torch.zeros(noise.shape, device=logits.device)
            decoded = decode(
                policy, piece_logits, piece_cache, noise, sampling.temperature, drawn_by
            )
            for number, response in zip(numbers, decoded, strict=True):
                responses[number] = response
            if said is not None and drawn_by is not None:
                for number, values in zip(numbers, drawn_by.tolist(), strict=True):
                    said[number] = values[: len(responses[number])]
