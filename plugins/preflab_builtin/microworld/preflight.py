"""What of the embedded world is looked at before any work."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.errors import UserError
from preflab.interfaces import Context
from preflab_builtin.microworld.config import TaskDemonstrationsConfig, ValuesConfig
from preflab_builtin.microworld.gold import MicroworldGold
from preflab_builtin.microworld.world import World


def same_world(config: TaskDemonstrationsConfig | ValuesConfig, context: Context) -> Iterator[str]:
    """`UserError` for demonstrations of another world than the prompts' one: their answers would
    be false in it."""
    gold, own = context.gold, World(config.seed).facts
    if isinstance(gold, MicroworldGold) and any(gold.facts[key] != own[key] for key in own):
        key = context.key_of(config)
        raise UserError(
            f"{key}.seed is {config.seed}, but the prompts are of another world, in which other "
            f"things are true: give {key}.seed the value of data.seed."
        )
    yield from ()
