"""Making rankings: the responses of the pool, ranked by labelers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab.interfaces import Context, State
from preflab.pool import Pool, read_pool
from preflab.records import RANKINGS_FILE, to_json
from preflab_builtin.comparisons.config import RankedConfig


def pool_of(context: Context) -> Pool:
    """The pool that the run's samples stage made."""
    folder = context.artifact("samples")
    if folder is None:
        raise UserError("There are no responses to rank: samples=none. Choose samples=sampled.")
    return read_pool(folder)


class Ranked:
    """`preflab.interfaces.Procedure`: a step has a batch of prompts ranked. A prompt's rankings
    depend on its id, its responses and the seed, not on its batch."""

    def __init__(self, config: RankedConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.labeler = context.labeler()
        self.pool = pool_of(context)
        self.total_steps = -(-len(self.pool.answered) // config.batch)
        self.rankings: list[dict[str, Any]] = []

    def step(self, index: int) -> Mapping[str, float]:
        """Have one batch ranked; report the rankings added, those in which everything is tied, and
        the share of tied pairs."""
        first, seed = index * self.config.batch, self.context.seed
        before, all_tied, preferences, pairs = len(self.rankings), 0, 0, 0.0
        for answered in self.pool.answered[first : first + self.config.batch]:
            prompt, texts = answered.prompt, answered.responses
            for ranking in self.labeler.rank(prompt, texts, (seed, "comparisons", prompt.id)):
                # A preference between equal texts means nothing: they count as tied.
                distinct = tuple((i, j) for i, j in ranking.preferences if texts[i] != texts[j])
                preferences += len(distinct)
                pairs += len(texts) * (len(texts) - 1) / 2 - len(ranking.unjudged)
                if distinct:
                    added = replace(ranking, prompt=prompt, preferences=distinct)
                    self.rankings.append(to_json(added))
                else:
                    all_tied += 1
        return {
            "comparisons/rankings": float(len(self.rankings) - before),
            "comparisons/all_tied": float(all_tied),
            "comparisons/pairs_tied": 1 - preferences / pairs if pairs else 0.0,
        }

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """A ranking in which everything is tied says nothing and is left out."""
        tied = sum(row["comparisons/all_tied"] for row in history)
        return {
            "prompts": len(self.pool.answered),
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
