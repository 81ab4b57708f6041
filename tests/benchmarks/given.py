"""A plugin for the benchmark's check: a sampling engine whose responses are given in a file, so
that both sides score and learn from the same tokens (``rollout=given rollout.path=FILE``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from preflab import Component, hookimpl, option

if TYPE_CHECKING:
    from preflab.interfaces import Context, Policy, Sampling
    from preflab.records import Prompt, Rollout


@dataclass
class GivenConfig:
    """Responses out of a file of {text, prompt, response}: the prompt's text, its ids, the
    response's ids."""

    name: str = option("given", "component")
    path: str = option("", "the file")
    max_tokens: int = option(64, "tokens of a response", ge=1)
    temperature: float = option(1.0, "of the log-probs", gt=0)


class GivenEngine:
    """`preflab.interfaces.RolloutEngine` that samples nothing."""

    def __init__(self, config: GivenConfig, device: object) -> None:
        from preflab.interfaces import Sampling

        self.sampling, self.device = Sampling(config.max_tokens, config.temperature), device
        table = json.loads(Path(config.path).read_text(encoding="utf8"))
        self.responses: dict[str, list[int]] = {row["text"]: row["response"] for row in table}

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        """The given responses."""
        from preflab.records import Rollout

        encoded = [policy.tokenizer.encode(prompt.text) for prompt in prompts]
        answers = [self.responses[prompt.text] for prompt in prompts]
        return Rollout.from_tokens(policy.tokenizer, prompts, encoded, answers, str(self.device))


def _build(config: GivenConfig, context: Context) -> GivenEngine:
    return GivenEngine(config, context.runtime.device)


@hookimpl
def preflab_components() -> list[Component]:
    """The engine."""
    return [Component("rollout", "given", GivenConfig, build=_build)]
