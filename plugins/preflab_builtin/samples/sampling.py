"""Making the pool: K samples of the SFT policy for each prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab.interfaces import Context, Sampling, State
from preflab.lengths import check_prompts
from preflab.pool import Answered, write_pool
from preflab.randomness import permutation
from preflab.records import Prompt, Split
from preflab_builtin.samples.config import SampledConfig

STREAM = "comparisons"
"""Name of the random stream, which the comparisons stage had when it sampled too: the pools are
still the same."""


def chosen_prompts(config: SampledConfig, context: Context) -> list[Prompt]:
    """The prompts that are answered, of training first, in an order that the seed draws."""
    chosen: list[Prompt] = []
    numbers: dict[Split, int] = {"train": config.prompts, "validation": config.validation_prompts}
    for split, number in numbers.items():
        prompts = context.records("prompts", split) if number else []
        order = permutation(len(prompts), context.seed, STREAM, split)[:number]
        chosen += [prompts[i] for i in order]
    return chosen


def preflight(config: SampledConfig, context: Context) -> Iterator[str]:
    """`UserError` for prompts that leave no room for a response."""
    check_prompts(context, chosen_prompts(config, context))
    yield from ()


class Sampled:
    """`preflab.interfaces.Procedure`: a step answers a batch of prompts. A prompt's samples depend
    on its place and the seed, not on its batch."""

    def __init__(self, config: SampledConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.policy, self.engine = context.policy("sft"), context.rollout()
        self.prompts = chosen_prompts(config, context)
        self.total_steps = -(-len(self.prompts) // config.batch)
        self.responses: list[list[str]] = []

    def step(self, index: int) -> Mapping[str, float]:
        """Sample for one batch; report how many texts there are, their length in tokens, and the
        share of responses that equal an earlier one to the same prompt."""
        first, k = index * self.config.batch, self.config.k
        prompts = self.prompts[first : first + self.config.batch]
        sampling = Sampling(
            self.engine.sampling.max_tokens, self.config.temperature, k, first_row=first * k
        )
        seed = (self.context.seed, STREAM)
        rollout = self.engine.generate(self.policy, prompts, sampling, seed)
        texts = [list(rollout.texts[row * k : (row + 1) * k]) for row in range(len(prompts))]
        self.responses += texts
        number = len(prompts) * k
        return {
            "samples/responses": float(number),
            "samples/tokens": float(rollout.response_lengths.sum()) / number,
            "samples/repeated": 1 - sum(len(set(some)) for some in texts) / number,
        }

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """How many prompts have responses."""
        return {"prompts": len(self.prompts), "responses": len(self.prompts) * self.config.k}

    def state_dict(self) -> State:
        """The responses so far."""
        return {"responses": self.responses}

    def load_state_dict(self, state: State) -> None:
        """Continue after them."""
        self.responses = [list(texts) for texts in state["responses"]]

    def save(self, folder: Path) -> None:
        """One prompt with its responses per line."""
        pairs = zip(self.prompts, self.responses, strict=True)
        write_pool(folder, [Answered(prompt, tuple(texts)) for prompt, texts in pairs])
