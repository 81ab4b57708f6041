"""An engine that only says what it was asked for."""

from __future__ import annotations

from typing import Any

from preflab.interfaces import Sampling
from preflab.records import Rollout


class Counting:
    """An engine that notes what it is asked for."""

    sampling = Sampling(4, 1.0, samples=3)

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], int, int]] = []

    def generate(self, policy: Any, prompts: Any, sampling: Sampling, seed: Any) -> Rollout:
        self.asked.append(([p.id for p in prompts], sampling.samples, sampling.first_row))
        each = [prompt for prompt in prompts for _ in range(sampling.samples)]
        texts = [policy.tokenizer.encode(prompt.text) for prompt in each]
        ends = [[policy.tokenizer.eos_id]] * len(each)
        return Rollout.from_tokens(policy.tokenizer, each, texts, ends)
