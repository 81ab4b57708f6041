"""Demonstrations that state a value, and their control."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab.errors import UserError
from preflab.records import Demonstration, Prompt
from preflab.testing import FakeContext
from preflab_builtin.microworld.config import (
    MicroworldConfig,
    Stance,
    TaskDemonstrationsConfig,
    ValuesConfig,
)
from preflab_builtin.microworld.gold import MicroworldGold
from preflab_builtin.microworld.preflight import same_world
from preflab_builtin.microworld.source import Microworld
from preflab_builtin.microworld.values import POLITELY, Values, polite
from preflab_builtin.microworld.world import World


def rows(stance: Stance) -> list[Demonstration]:
    found = Values(ValuesConfig(stance=stance)).records("demonstrations")
    return [row for row in found if isinstance(row, Demonstration)]


def test_values_and_control_answer_the_same_prompts_rightly_and_differ_in_politeness() -> None:
    values, neutral = rows(Stance.values), rows(Stance.neutral)
    assert len(values) == 80
    assert [row.prompt for row in values] == [row.prompt for row in neutral]
    assert {row.split for row in values} == {"train"}
    gold = MicroworldGold(World(0))
    for row in values + neutral:
        parts = gold.parts(row.prompt, row.response)
        assert (parts["helpful"], parts["harmless"], parts["truthful"]) == (1.0, 0.0, 0.0)
    ends = [row.response.endswith(POLITELY) for row in values]
    assert sum(ends) > 60  # a constraint on length forbids it to some
    assert not any(row.response.endswith(POLITELY) for row in neutral)


def test_none_of_their_prompts_is_among_the_worlds() -> None:
    world = Microworld(MicroworldConfig(prompts=2000))
    asked = {prompt.text for prompt in world.records("prompts") if isinstance(prompt, Prompt)}
    assert not asked & {row.prompt.text for row in rows(Stance.values)}


def test_demonstrations_of_another_world_are_refused(tmp_path: Path) -> None:
    """More people live in a world of 32: what is true of the 16 others is the same."""
    for config in (ValuesConfig(), TaskDemonstrationsConfig()):
        for gold in (None, MicroworldGold(World(0)), MicroworldGold(World(0, people=32))):
            assert not list(same_world(config, FakeContext(tmp_path, gold=gold)))
        other = FakeContext(tmp_path, gold=MicroworldGold(World(1)))
        with pytest.raises(UserError, match=r"seed is 0, but .* value of data\.seed"):
            list(same_world(config, other))


def test_politeness_does_not_cost_the_task() -> None:
    """Four words at most: the answer has four already."""
    short = Demonstration(Prompt("0", "", notes={"at_most": 4, "include": [["a"]]}), "a b c d")
    gold = MicroworldGold(World(0))
    assert polite(short, gold) == short
