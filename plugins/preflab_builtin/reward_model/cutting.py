"""What cutting responses to a number of tokens takes away: counted, and refused where nothing is left to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from preflab.errors import UserError
from preflab.interfaces import Tokenizer
from preflab.records import Ranking


@dataclass(frozen=True)
class Cut:
    """Of all responses: how many lose tokens (their end token at least), and how many tokens are lost."""

    responses: int
    cut: int
    tokens: int
    lost: int


def measure_cut(rankings: Sequence[Ranking], tokenizer: Tokenizer, max_tokens: int | None) -> Cut:
    """Count what the limit cuts; `UserError` naming the first preference whose two responses are the same tokens, cut or
    not: its loss would stand at log 2 for ever and say nothing."""
    counts = [0, 0, 0, 0]
    for ranking in rankings:
        whole = [[*tokenizer.encode(text), tokenizer.eos_id] for text in ranking.responses]
        kept = [ids[:max_tokens] for ids in whole]
        for better, worse in ranking.preferences:
            if kept[better] == kept[worse]:
                cut = len(whole[better]) > len(kept[better]) or len(whole[worse]) > len(kept[worse])
                advice = (
                    f"Raise reward_model.max_tokens ({max_tokens}), or"
                    if cut
                    else "Use a tokenizer that tells them apart, or"
                )
                raise UserError(
                    f"The ranking of prompt {ranking.prompt.id!r} prefers response {better} to response {worse}, but both are "
                    f"the same {len(kept[better])} tokens to the model. {advice} leave the row out."
                )
        lost = [len(ids) - len(short) for ids, short in zip(whole, kept, strict=True)]
        found = (len(whole), sum(n > 0 for n in lost), sum(map(len, whole)), sum(lost))
        counts = [a + b for a, b in zip(counts, found, strict=True)]
    return Cut(*counts)
