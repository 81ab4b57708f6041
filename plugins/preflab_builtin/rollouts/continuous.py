"""transformers' continuous batching as a sampling engine: rows enter and leave a batch as they
begin and end, over a paged cache, with recorded CUDA graphs. For GPUs.

It reads the policy's own module, in kernels of its own: what it says of its draws is compared with
the policy (`preflab.interfaces.Foreign`). Its draws come from one stream: the tokens of a row
depend on the rows that are sampled with it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import ContinuousBatchingConfig

from preflab.errors import PreflabError
from preflab.interfaces import Context, Policy, Sampling
from preflab.randomness import derive_seed
from preflab.records import Prompt, Rollout
from preflab_builtin.rollouts.config import ContinuousConfig
from preflab_builtin.rollouts.engine import Engine
from preflab_builtin.rollouts.generate import drawing_from, generation_config, module_with
from preflab_builtin.rollouts.prompts import prompt_tokens, rollout_of, up_to_end

SLOW = (
    "rollout=continuous is made for GPUs: on a CPU it takes 6 to 11 times as long as "
    "rollout=transformers. Choose rollout=native (the default)."
)

PAGE = 32
"""Tokens in a page of the cache."""


def continuous(config: ContinuousConfig, context: Context) -> ContinuousEngine:
    """The component ``continuous``."""
    return ContinuousEngine(config, context.runtime)


def preflight(config: ContinuousConfig, context: Context) -> Iterator[str]:
    """Warns where there is no GPU."""
    if context.runtime.device.type == "cpu":
        yield SLOW


class ContinuousEngine(Engine):
    """`preflab.interfaces.RolloutEngine` and `Foreign`, except for the independence of rows."""

    weights = ""

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        """Responses to the prompts, ``sampling.samples`` consecutive rows for each."""
        encoded = prompt_tokens(policy, prompts, sampling.max_tokens)
        rows = [ids for ids in encoded for _ in range(sampling.samples)]
        self.weights = policy.version
        number = derive_seed(*seed, sampling.first_row)
        drawn = self._drawn(policy, rows, sampling, number) if rows else []
        responses = [up_to_end(ids, policy.tokenizer.end_ids) for ids, _ in drawn]
        said = [values[: len(ids)] for (_, values), ids in zip(drawn, responses, strict=True)]
        return rollout_of(
            policy,
            prompts,
            encoded,
            responses,
            self.runtime.device,
            said if sampling.temperature > 0 else None,
            self.weights,
        )

    def _drawn(
        self, policy: Policy, rows: Sequence[list[int]], sampling: Sampling, seed: int
    ) -> list[tuple[list[int], list[float]]]:
        """Tokens and their log-probs of each row."""
        module = module_with("generate_batch", policy, "rollout=continuous")
        with drawing_from(policy, self.runtime):
            torch.manual_seed(seed)
            answers = module.generate_batch(
                [[*ids] for ids in rows],
                generation_config=generation_config(policy, sampling),
                continuous_batching_config=_settings(
                    seed, min(self.batch, len(rows)), max(map(len, rows)) + sampling.max_tokens
                ),
                progress_bar=False,
            )
        drawn = [(answer.generated_tokens, answer.logprobs) for answer in answers.values()]
        failed = [answer.error for answer in answers.values() if answer.error is not None]
        if failed or len(drawn) != len(rows):
            raise PreflabError(
                f"rollout=continuous: transformers answered {len(drawn) - len(failed)} of "
                f"{len(rows)} rows{f' ({failed[0]})' if failed else ''}; its own messages are "
                "above. If memory ran out, lower rollout.batch; rollout=native does without it. "
                "The same command goes on from the last checkpoint."
            )
        return drawn


def _settings(seed: int, batch: int, longest: int) -> Any:
    """Log-probs of what was drawn; a seed where this transformers has one; a cache for ``batch``
    rows of at most ``longest`` tokens, where transformers would take nearly all free memory."""
    make: Any = ContinuousBatchingConfig
    wanted = {
        "return_logprobs": True,
        "seed": seed,
        "max_requests_per_batch": batch,
        "page_size": PAGE,
        "num_blocks": batch * (longest // PAGE + 2),
        "max_batch_tokens": max(batch, longest, PAGE),
    }
    known = inspect.signature(make).parameters
    return make(**{name: value for name, value in wanted.items() if name in known})
