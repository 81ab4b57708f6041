"""Responses after prompts that they do not answer: what KTO estimates its KL with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from preflab.errors import UserError
from preflab_builtin.preference.preflight import ONE_PROMPT
from preflab_builtin.reward_model.examples import Example


def mismatched(pairs: Sequence[Example], limit: int | None) -> list[Example]:
    """For each pair, its prompt with both responses of a pair of another prompt (Ethayarajh et al.
    2024, section 4.1: mismatched pairs of the same data). Which one is fixed, so that the
    reference's log-probs are computed once. limit: positions of the model, to which the responses
    are cut. `UserError` if there is one prompt only."""
    if len({pair.prompt for pair in pairs}) < 2:
        raise UserError(ONE_PROMPT)
    sizes: dict[tuple[int, ...], int] = {}
    for pair in pairs:
        sizes[pair.prompt] = sizes.get(pair.prompt, 0) + 1
    # Pairs of one prompt are mostly neighbours: further away than the most of them is another one.
    shift, found = max(sizes.values()), []
    for number, pair in enumerate(pairs):
        place = number + shift
        while pairs[place % len(pairs)].prompt == pair.prompt:
            place += 1
        other = pairs[place % len(pairs)]
        room = None if limit is None else limit - len(pair.prompt)
        responses = tuple(ids[:room] for ids in other.responses)
        found.append(replace(pair, responses=responses, texts=other.texts))
    return found
