"""Prompts of a request, read as the algorithm of an arm has its models read them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from preflab.prompts import with_prefix
from preflab.records import Prompt
from preflab_people.server.answers import Refused
from preflab_serve.answering import Answering
from preflab_serve.arms import Arm
from preflab_serve.preparing import prepare
from preflab_serve.server.asked import Asked
from serve.fakes import Bytes, fake_arm


class Told:
    """It has a model read a prompt as it is and with six bytes in front."""

    policy: Any = None

    def forms(self, prompt: Prompt) -> Sequence[Prompt]:
        return [prompt, with_prefix(prompt, "nice: ")]

    def respond(self, *given: Any) -> Any:
        raise NotImplementedError


def arm(positions: int) -> Arm:
    """Its algorithm answers with up to 200 bytes."""
    made: Any = fake_arm(lambda prompt, seed: "yes")
    kind = type(made)
    kind.own_way, kind.positions, kind.responder = True, positions, Told()
    assert isinstance(made.engine, Bytes)
    return cast(Arm, made)


def test_what_is_put_in_front_of_a_prompt_counts() -> None:
    """10 bytes, 6 in front and 200 of the response are 216; each of two rows may cost so many."""
    request = Asked("fake", (Prompt("", "a question"),), chat=False, n=2)

    async def needed(positions: int) -> int:
        answering = Answering(arm(positions), request, 1)
        prepare(answering, None)
        return answering.needed

    assert asyncio.run(needed(216)) == 2 * 216
    with pytest.raises(Refused, match="Its 16 tokens and the 200 that fake answers with"):
        asyncio.run(needed(215))
