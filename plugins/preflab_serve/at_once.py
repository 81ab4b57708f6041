"""Whole responses, by a run's algorithm or by an engine that gives no single tokens. All of this is
done in the worker's thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from preflab.interfaces import AnyTemperature
from preflab_serve.growing import Growing
from preflab_serve.metering import listening

if TYPE_CHECKING:
    from preflab.records import Rollout
    from preflab_serve.answering import Answering


def at_once(answering: Answering, rows: Sequence[Growing], seed: tuple[int | str, ...]) -> None:
    """The responses of these rows; a row that has ended keeps what it has. Raises Left once nobody
    waits."""
    own_way = answering.arm.own_way
    rollout = (_by_algorithm if own_way else _by_engine)(answering, rows, seed)
    for row, (_, ids) in zip(rows, rollout.tokens(), strict=True):
        for token in ids:
            if not row.finish:
                row.feed(token)
        if not row.finish:
            row.state = (row.text, "length")


def _by_algorithm(
    answering: Answering, rows: Sequence[Growing], seed: tuple[int | str, ...]
) -> Rollout:
    """Its policy tells what it computes; what is shown is the least of it."""
    arm, asked, before = answering.arm, answering.asked, answering.computed
    responder = arm.responder
    if asked.temperature is not None and isinstance(responder, AnyTemperature):
        responder = responder.at_temperature(asked.temperature)
    with listening(answering.compute):
        rollout = responder.respond([row.prompt for row in rows], seed)
    shown = sum(len(prompt) + len(response) for prompt, response in rollout.tokens())
    answering.compute(max(0, shown - (answering.computed - before)))
    return rollout


def _by_engine(
    answering: Answering, rows: Sequence[Growing], seed: tuple[int | str, ...]
) -> Rollout:
    """What it may need is counted first, as it may tell nothing; what it took in the end."""
    arm, asked = answering.arm, answering.asked
    sampling = replace(arm.engine.sampling, samples=1, max_tokens=max(r.most for r in rows))
    if asked.temperature is not None:
        sampling = replace(sampling, temperature=asked.temperature)
    ahead = sum(len(row.prompt_ids) + sampling.max_tokens for row in rows)
    answering.compute(ahead)
    with listening(lambda tokens: answering.compute(0)):
        rollout = arm.engine.generate(arm.policy, [row.prompt for row in rows], sampling, seed)
    taken = sum(len(prompt) + len(response) for prompt, response in rollout.tokens())
    answering.compute(taken - ahead)
    return rollout
