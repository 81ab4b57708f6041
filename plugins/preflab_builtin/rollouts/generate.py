"""transformers' generate as a sampling engine.

Its draws come from one stream for a whole batch: a row's tokens depend on the rows beside it and
on ``batch``. The distribution is the policy's own: one explicit GenerationConfig without top-k
(which generate otherwise sets to 50), top-p or any other processor, because PPO needs the density
of what was sampled.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from preflab.errors import UserError
from preflab.interfaces import Policy, Sampling
from preflab.randomness import derive_seed
from preflab.records import Prompt, Rollout
from preflab.runtime import Runtime
from preflab_builtin.rollouts.config import TransformersConfig
from preflab_builtin.rollouts.prompts import left_padded, prompt_tokens


class TransformersEngine:
    """`preflab.interfaces.RolloutEngine`, except for the independence of rows."""

    def __init__(self, config: TransformersConfig, runtime: Runtime) -> None:
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
        module: Any = policy.module
        if not hasattr(module, "generate"):
            raise UserError(
                f"rollout=transformers needs a transformers model, not {type(module).__name__}. Use rollout=native."
            )
        encoded = prompt_tokens(policy, prompts, sampling.max_tokens)
        rows = [i for i in range(len(prompts)) for _ in range(sampling.samples)]
        settings = generation_config(policy, sampling)
        answers: list[list[int]] = []
        devices = [self.runtime.device] if self.runtime.device.type == "cuda" else []
        with (
            torch.inference_mode(),
            self.runtime.autocast(),
            torch.random.fork_rng(devices=devices),
            as_trained(policy),
        ):
            for number, group in enumerate(self.runtime.micro_batches(rows, self.batch)):
                torch.manual_seed(derive_seed(*seed, sampling.first_row, number))
                ids, mask = left_padded(
                    [encoded[i] for i in group], policy.tokenizer.pad_id, self.runtime.device
                )
                found = module.generate(
                    input_ids=ids, attention_mask=mask.long(), generation_config=settings
                )
                answers.extend(
                    _ended(row, policy.tokenizer.eos_id)
                    for row in found[:, ids.shape[1] :].tolist()
                )
        device = self.runtime.device
        return Rollout.from_tokens(
            policy.tokenizer,
            [prompts[i] for i in rows],
            [encoded[i] for i in rows],
            answers,
            device,
        )


@contextlib.contextmanager
def as_trained(policy: Policy) -> Iterator[None]:
    """The density that training computes log-probabilities of. Without the folder's
    generation_config.json: generate takes from it whatever an explicit config leaves unset (min_p,
    suppressed tokens). Logits are the policy's: float32, autocast or not."""
    make: Any = GenerationConfig
    module: Any = policy.module
    head: Any = module.get_output_embeddings()
    before, module.generation_config, head.forward = module.generation_config, make(), policy.logits
    try:
        yield
    finally:
        module.generation_config = before
        del head.forward


def generation_config(policy: Policy, sampling: Sampling) -> GenerationConfig:
    """Sampling from the model's own distribution: every processor that generate might add is
    switched off by name."""
    drawn = {"do_sample": True, "temperature": sampling.temperature, "top_k": 0, "top_p": 1.0}
    make: Any = GenerationConfig
    config: GenerationConfig = make(
        max_new_tokens=sampling.max_tokens,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=policy.tokenizer.eos_id,
        pad_token_id=policy.tokenizer.pad_id,
        **(drawn if sampling.temperature > 0 else {"do_sample": False}),
    )
    return config


def _ended(ids: list[int], eos: int) -> list[int]:
    """Cut after the first end token: generate pads behind it, and a sampled pad is a token like
    any other."""
    return ids[: ids.index(eos) + 1] if eos in ids else ids
