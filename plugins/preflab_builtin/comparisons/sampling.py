"""Making rankings: K samples of the SFT policy for each prompt, ranked by labelers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab.interfaces import Context, Sampling, State
from preflab.lengths import check_prompts
from preflab.randomness import permutation
from preflab.records import RANKINGS_FILE, Prompt, Split, to_json
from preflab_builtin.comparisons.config import SampledConfig


def chosen_prompts(config: SampledConfig, context: Context) -> list[Prompt]:
    """The prompts that are answered, of training first, in an order that the seed draws."""
    chosen: list[Prompt] = []
    numbers: dict[Split, int] = {"train": config.prompts, "validation": config.validation_prompts}
    for split, number in numbers.items():
        prompts = context.records("prompts", split) if number else []
        order = permutation(len(prompts), context.seed, "comparisons", split)[:number]
        chosen += [prompts[i] for i in order]
    return chosen


def preflight(config: SampledConfig, context: Context) -> Iterator[str]:
    """`UserError` for prompts that leave no room for a response."""
    check_prompts(context, chosen_prompts(config, context))
    yield from ()


class SampledComparisons:
    """`preflab.interfaces.Procedure`: a step ranks a batch of prompts. A prompt's samples and
    rankings depend on its id and the seed, not on its batch."""

    def __init__(self, config: SampledConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.policy, self.engine = context.policy("sft"), context.rollout()
        self.labeler = context.labeler()
        self.prompts = chosen_prompts(config, context)
        self.total_steps = -(-len(self.prompts) // config.batch)
        self.rankings: list[dict[str, Any]] = []

    def step(self, index: int) -> Mapping[str, float]:
        """Sample and rank one batch; report the rankings added, those in which everything is tied,
        and the share of tied pairs."""
        first = index * self.config.batch
        prompts = self.prompts[first : first + self.config.batch]
        seed, k = self.context.seed, self.config.k
        sampling = Sampling(
            self.engine.sampling.max_tokens, self.config.temperature, k, first_row=first * k
        )
        rollout = self.engine.generate(self.policy, prompts, sampling, (seed, "comparisons"))
        before, all_tied, preferences = len(self.rankings), 0, 0
        for row, prompt in enumerate(prompts):
            texts = rollout.texts[row * k : (row + 1) * k]
            for ranking in self.labeler.rank(prompt, texts, (seed, "comparisons", prompt.id)):
                # A preference between equal texts means nothing: they count as tied.
                distinct = tuple((i, j) for i, j in ranking.preferences if texts[i] != texts[j])
                preferences += len(distinct)
                if distinct:
                    added = replace(ranking, prompt=prompt, preferences=distinct)
                    self.rankings.append(to_json(added))
                else:
                    all_tied += 1
        number = len(self.rankings) - before
        pairs = (number + all_tied) * k * (k - 1) / 2
        return {
            "comparisons/rankings": float(number),
            "comparisons/all_tied": float(all_tied),
            "comparisons/pairs_tied": 1 - preferences / pairs if pairs else 0.0,
        }

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """A ranking in which everything is tied says nothing and is left out."""
        tied = sum(row["comparisons/all_tied"] for row in history)
        return {
            "prompts": len(self.prompts),
            "rankings": len(self.rankings),
            "rankings without a preference": tied,
        }

    def state_dict(self) -> State:
        """The rankings so far."""
        return {"rankings": self.rankings}

    def load_state_dict(self, state: State) -> None:
        """Continue after them."""
        self.rankings = list(state["rankings"])

    def save(self, folder: Path) -> None:
        """One ranking per line."""
        if not self.rankings:
            raise UserError(
                "The labelers gave no preference at all: in every ranking all responses are tied. "
                "Are all responses the same?"
            )
        with (folder / RANKINGS_FILE).open("w", encoding="utf8") as stream:
            # Keys are sorted as in checkpoints, so that a resumed run writes the same bytes.
            stream.writelines(json.dumps(row, sort_keys=True) + "\n" for row in self.rankings)
