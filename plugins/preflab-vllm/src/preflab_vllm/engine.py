"""vLLM as a rollout engine: a copy of the policy's weights that is refreshed when the policy's
version is another, one seed for each row, log-probs of what was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from preflab.errors import NumericError
from preflab.interfaces import Context, Policy, Sampling
from preflab.randomness import derive_seed
from preflab.records import Prompt, Rollout
from preflab.runtime import Runtime
from preflab_builtin.rollouts.prompts import prompt_tokens, rollout_of
from preflab_vllm.client import Answer
from preflab_vllm.config import VLLMConfig

SEEDS = 2**63
"""Seeds are smaller: vLLM takes 64 bits with a sign."""


class Copy(Protocol):
    """vLLM with a copy of the weights."""

    def version(self) -> str:
        """`Policy.version` of the weights that it has; another text before it has any."""

    def refresh(self, policy: Policy, version: str) -> None:
        """Take the policy's weights."""

    def complete(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        sampling: Sampling,
        ends: Sequence[int],
    ) -> list[Answer]:
        """A response to each prompt, in their order."""


def vllm(config: VLLMConfig, context: Context) -> VLLMEngine:
    """The component ``vllm``."""
    if config.server:
        from preflab_vllm.server import Server

        return VLLMEngine(config, context.runtime, Server(config, context.runtime))
    from preflab_vllm.inside import inside

    return VLLMEngine(config, context.runtime, inside(config.dtype, config.memory))


class VLLMEngine:
    """`preflab.interfaces.RolloutEngine`, `Foreign` and `Refreshes`."""

    def __init__(self, config: VLLMConfig, runtime: Runtime, copy: Copy) -> None:
        self.sampling = Sampling(config.max_tokens, config.temperature)
        self.runtime, self.copy = runtime, copy
        self.weights = ""

    def is_stale(self, version: str) -> bool:
        """Whether vLLM has other weights than those of this version."""
        return self.copy.version() != version

    def refresh(self, policy: Policy) -> None:
        """Have vLLM take the policy's weights."""
        self.copy.refresh(policy, policy.version)

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
        first, ends = sampling.first_row, sorted(policy.tokenizer.end_ids)
        # A seed for a whole batch would give its prompts the same noise.
        seeds = [derive_seed(*seed, first + row) % SEEDS for row in range(len(rows))]
        answers: list[Answer] = []
        if rows:
            version = policy.version  # every weight is read for it: once
            if self.is_stale(version):
                self.copy.refresh(policy, version)
            answers = self.copy.complete(rows, seeds, sampling, ends)
            self.weights = self.copy.version()
            if self.weights != version:
                raise NumericError(
                    f"rollout=vllm: the weights that vLLM has are {self.weights}, and the policy's "
                    f"are {version}: somebody else gave it weights while it sampled. No weight was "
                    "changed. Give each run a server of its own."
                )
        return rollout_of(
            policy,
            prompts,
            encoded,
            [answer.ids for answer in answers],
            self.runtime.device,
            [a.log_probs for a in answers] if sampling.temperature > 0 else None,
            self.weights,
        )
