"""transformers' generate as a sampling engine.

Its draws come from one stream for a whole batch: the tokens of a row depend on the other rows and
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
from preflab.interfaces import Context, Policy, Sampling
from preflab.randomness import derive_seed
from preflab.records import Prompt, Rollout
from preflab.runtime import Runtime
from preflab_builtin.rollouts.config import TransformersConfig
from preflab_builtin.rollouts.engine import Engine
from preflab_builtin.rollouts.prompts import left_padded, prompt_tokens, rollout_of, up_to_end


def transformers(config: TransformersConfig, context: Context) -> TransformersEngine:
    """The component ``transformers``."""
    return TransformersEngine(config, context.runtime)


class TransformersEngine(Engine):
    """`preflab.interfaces.RolloutEngine`, except for the independence of rows."""

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        """Responses to the prompts, ``sampling.samples`` consecutive rows for each."""
        module = module_with("generate", policy, "rollout=transformers")
        encoded = prompt_tokens(policy, prompts, sampling.max_tokens)
        rows = [ids for ids in encoded for _ in range(sampling.samples)]
        settings = generation_config(policy, sampling)
        responses: list[list[int]] = []
        device = self.runtime.device
        with drawing_from(policy, self.runtime):
            for number, group in enumerate(self.runtime.micro_batches(rows, self.batch)):
                torch.manual_seed(derive_seed(*seed, sampling.first_row, number))
                ids, mask = left_padded(group, policy.tokenizer.pad_id, device)
                # Of divided weights, which are whole while an engine samples, generate else takes
                # every token together with the other processes, and waits for one that has none.
                tokens = module.generate(
                    input_ids=ids,
                    attention_mask=mask.long(),
                    generation_config=settings,
                    synced_gpus=False,
                )
                # generate pads after the end token, and a sampled pad is a token like any other.
                for row in tokens[:, ids.shape[1] :].tolist():
                    responses.append(up_to_end(row, policy.tokenizer.end_ids))
        return rollout_of(policy, prompts, encoded, responses, device)


def module_with(method: str, policy: Policy, engine: str) -> Any:
    """The policy's module, if it has the method of transformers that an engine calls; else
    `UserError`."""
    module: Any = policy.module
    if not hasattr(module, method):
        raise UserError(
            f"{engine} needs a model of transformers that has '{method}', not "
            f"{type(module).__name__}. Use rollout=native."
        )
    return module


@contextlib.contextmanager
def drawing_from(policy: Policy, runtime: Runtime) -> Iterator[None]:
    """Within it transformers may sample from the policy: without gradients, in the run's precision,
    from the density of training, and torch's global stream is afterwards as it was."""
    device = runtime.device
    with (
        torch.no_grad(),
        runtime.autocast(),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        as_trained(policy),
    ):
        yield


@contextlib.contextmanager
def as_trained(policy: Policy) -> Iterator[None]:
    """The density that training computes log-probabilities of: without the folder's
    generation_config.json, from which generate takes whatever an explicit config leaves unset
    (min_p, suppressed tokens), and with the logits that `Policy.logits` makes of the hidden states,
    in float32 also under autocast. `UserError` for a module without an unembedding."""
    make: Any = GenerationConfig
    module: Any = policy.module
    head: Any = module.get_output_embeddings()
    if head is None:
        raise UserError(
            f"{type(module).__name__} names no unembedding (get_output_embeddings), so that "
            "transformers cannot sample from the logits that training uses. Use rollout=native."
        )
    reached: list[torch.Tensor] = []

    def keep(hidden: torch.Tensor) -> torch.Tensor:
        reached[:] = [hidden]
        return hidden

    def own(_: Any, inputs: Any, output: Any) -> Any:
        del head.forward  # the policy's logits may call the head
        if not reached:
            head.forward = keep
            raise UserError(
                f"{type(module).__name__} makes its logits without calling its unembedding, so "
                "that transformers cannot sample from the logits that training uses. "
                "Use rollout=native."
            )
        try:
            output.logits = policy.logits(reached.pop())
        finally:
            head.forward = keep
        return output

    before, module.generation_config = module.generation_config, make()
    head.forward = keep
    hook = module.register_forward_hook(own)
    try:
        yield
    finally:
        hook.remove()
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
        eos_token_id=sorted(policy.tokenizer.end_ids),
        pad_token_id=policy.tokenizer.pad_id,
        **(drawn if sampling.temperature > 0 else {"do_sample": False}),
    )
    return config
