"""Making the pool: K samples of the SFT policy, and of others that share it, for each prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab.interfaces import Context, Sampling, State
from preflab.lengths import check_prompts
from preflab.pool import Answered, write_pool
from preflab.randomness import permutation
from preflab.records import Prompt, Rollout, Split
from preflab_builtin.samples.config import SampledConfig
from preflab_builtin.samples.others import check_others, located

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
    """`UserError` for prompts that leave no room for a response, and for policies that cannot share
    the pool."""
    prompts = chosen_prompts(config, context)
    check_prompts(context, prompts)
    check_others(config, context, prompts)
    yield from ()


class Sampled:
    """`preflab.interfaces.Procedure`: a step answers a batch of prompts. A prompt's samples depend
    on its place and the seed, not on its batch. Response j to a prompt is policy j's, modulo their
    number: SFT's is the first."""

    def __init__(self, config: SampledConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.engine = context.rollout()
        self.policies = [context.sampled_policy("sft")]
        self.policies += [context.sampled_policy(folder) for folder in located(config)]
        self.prompts = chosen_prompts(config, context)
        self.total_steps = -(-len(self.prompts) // config.batch)
        self.responses: list[list[str]] = []

    def step(self, index: int) -> Mapping[str, float]:
        """Sample for one batch; report how many texts there are, their length in tokens, and the
        share of responses that equal an earlier one to the same prompt."""
        first = index * self.config.batch
        prompts = self.prompts[first : first + self.config.batch]
        rollouts = [self._rollout(place, prompts, first) for place in range(len(self.policies))]
        texts = [self._dealt(rollouts, row) for row in range(len(prompts))]
        self.responses += texts
        number = len(prompts) * self.config.k
        tokens = sum(float(rollout.response_lengths.sum()) for rollout in rollouts)
        return {
            "samples/responses": float(number),
            "samples/tokens": tokens / number,
            "samples/repeated": 1 - sum(len(set(some)) for some in texts) / number,
        }

    def _rollout(self, place: int, prompts: Sequence[Prompt], first: int) -> Rollout:
        """The share of the policy at a place of the responses to prompts from ``first`` on."""
        share, longest = self._share(place), self.engine.sampling.max_tokens
        sampling = Sampling(longest, self.config.temperature, share, first_row=first * share)
        own = (str(place),) if place else ()
        seed = (self.context.seed, STREAM, *own)
        return self.engine.generate(self.policies[place], prompts, sampling, seed)

    def _share(self, place: int) -> int:
        return len(range(place, self.config.k, len(self.policies)))

    def _dealt(self, rollouts: Sequence[Rollout], row: int) -> list[str]:
        """The K responses to one prompt, in turn from each rollout."""
        turns = [divmod(j, len(rollouts)) for j in range(self.config.k)]
        return [rollouts[i].texts[row * self._share(i) + turn] for turn, i in turns]

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
