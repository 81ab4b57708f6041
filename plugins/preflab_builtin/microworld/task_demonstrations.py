"""Pretraining tasks as demonstrations: the embedded world's stand-in for FLAN and T0 (InstructGPT
3.5, 4.1)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from preflab import Inspection
from preflab.interfaces import Context
from preflab.randomness import derive_seed
from preflab.records import Demonstration, Prompt, Record, RecordType
from preflab_builtin.microworld.config import MicroworldConfig, TaskDemonstrationsConfig
from preflab_builtin.microworld.families import FAMILIES
from preflab_builtin.microworld.world import World, vocabulary

USERS = 100
"""Users that the tasks are attributed to, so that splitting by user splits them."""


class TaskDemonstrations:
    """`preflab.interfaces.DataSource` and `World`: tasks of all families on training combinations,
    in the frame of the instructions. It does not know the true utility of their answers."""

    gold = None

    def __init__(self, config: TaskDemonstrationsConfig, context: Context | None = None) -> None:
        self.config = config
        self.world = World(config.seed, MicroworldConfig.people, MicroworldConfig.held_out)

    @property
    def vocabulary(self) -> Sequence[str]:
        """The world's words."""
        return vocabulary()

    def records(self, record_type: RecordType) -> Iterable[Record]:
        """Demonstrations only."""
        return self._demonstrations() if record_type == "demonstrations" else []

    def _demonstrations(self) -> Iterator[Demonstration]:
        chance = random.Random(derive_seed(self.config.seed, "task demonstrations"))
        families = list(FAMILIES.values())
        for i in range(self.config.demonstrations):
            family = chance.choice(families)
            combination = chance.choice(self.world.combinations[family.name]["train"])
            before, answer = family.ask(self.world, combination)
            user, text = f"task-user-{i % USERS}", f"user : {before} assistant :"
            yield Demonstration(Prompt(f"task-{i}", text, user, (family.name,)), answer)


def inspect(config: TaskDemonstrationsConfig) -> Inspection:
    """The number of demonstrations."""
    return Inspection(records={"demonstrations": config.demonstrations})
