"""Rankings as tokens, made once: cut to a number of tokens, counted, and refused where the cut
leaves nothing to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from preflab.interfaces import Tokenizer
from preflab.lengths import refuse_rows
from preflab.records import Ranking, Rollout
from preflab_builtin.reward_model.refusing import cut_responses, cut_with


@dataclass(frozen=True)
class Example:
    """A ranking as tokens. responses: those of each response, its end token included, cut to the
    limit; texts: what they decode to; lost: how many tokens the cut took from each."""

    ranking: Ranking
    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...]
    lost: tuple[int, ...]

    @property
    def preferences(self) -> tuple[tuple[int, int], ...]:
        """(better, worse) indices of responses."""
        return self.ranking.preferences

    @property
    def length(self) -> int:
        """Characters of the prompt and the longest response: orders examples for micro-batches."""
        ranking = self.ranking
        return len(ranking.prompt.text) + max(map(len, ranking.responses))

    def pairs(self) -> list[Example]:
        """Each preference as an example of its own two responses."""
        return [self._pair(better, worse) for better, worse in self.preferences]

    def _pair(self, better: int, worse: int) -> Example:
        responses = (self.ranking.responses[better], self.ranking.responses[worse])
        rated = bool(self.ranking.ratings)
        return Example(
            replace(
                self.ranking,
                responses=responses,
                preferences=((0, 1),),
                unjudged=(),
                ratings=tuple(self.ranking.ratings[i] for i in (better, worse) if rated),
            ),
            self.prompt,
            (self.responses[better], self.responses[worse]),
            (self.texts[better], self.texts[worse]),
            (self.lost[better], self.lost[worse]),
        )


def examples(
    rankings: Sequence[Ranking],
    tokenizer: Tokenizer,
    max_tokens: int | None,
    limit: int | None,
    key: str,
) -> list[Example]:
    """One example per ranking, in order. max_tokens: the most tokens of a response; limit:
    positions of the model; key: of the component that cuts responses, for messages. `UserError`
    naming the first ranking that does not fit into the model, or that prefers one of two responses
    with the same tokens: its loss would remain at log 2."""
    rows = [_example(ranking, tokenizer, max_tokens, key) for ranking in rankings]
    sizes = ((r.ranking.prompt, len(r.prompt) + max(map(len, r.responses))) for r in rows)
    refuse_rows("rankings", sizes, limit, [cut_with(key)])
    return rows


def _example(ranking: Ranking, tokenizer: Tokenizer, max_tokens: int | None, key: str) -> Example:
    prompt = tuple(tokenizer.encode_prompt(ranking.prompt))
    responses, lost = cut_responses(ranking, tokenizer, max_tokens, key)
    texts = tuple(tokenizer.decode_response(ranking.prompt, ids) for ids in responses)
    return Example(ranking, prompt, responses, texts, lost)


def rollout(rows: Sequence[Example], tokenizer: Tokenizer, device: torch.device) -> Rollout:
    """All responses of some examples, one row each."""
    return Rollout.from_tokens(
        tokenizer,
        [row.ranking.prompt for row in rows for _ in row.responses],
        [row.prompt for row in rows for _ in row.responses],
        [ids for row in rows for ids in row.responses],
        device,
        texts=[text for row in rows for text in row.texts],
    )


def accounting(rows: Sequence[Example]) -> dict[str, float]:
    """How many responses and tokens there are before the cut, and what it takes away. A cut
    response has no end token."""
    lost = [n for row in rows for n in row.lost]
    tokens = sum(len(ids) for row in rows for ids in row.responses) + sum(lost)
    cut = sum(n > 0 for n in lost)
    return {
        "responses": len(lost),
        "tokens": tokens,
        "responses cut": cut,
        "tokens lost": sum(lost),
        "missing end tokens": cut,
    }


def whole_prompts(rows: Sequence[Example], size: int) -> list[list[Example]]:
    """Consecutive examples in micro-batches of at most ``size`` responses, at least one example
    each: a ranking is never divided."""
    groups: list[list[Example]] = []
    for row in rows:
        if not groups or sum(len(r.responses) for r in groups[-1]) + len(row.responses) > size:
            groups.append([])
        groups[-1].append(row)
    return groups
