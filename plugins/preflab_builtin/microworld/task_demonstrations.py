"""Pretraining tasks as demonstrations: the embedded world's stand-in for FLAN and T0 (InstructGPT 3.5, 4.1)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from preflab.randomness import derive_seed
from preflab.records import Demonstration, Prompt, Record, RecordType
from preflab_builtin.microworld.config import MicroworldConfig, TaskDemonstrationsConfig
from preflab_builtin.microworld.families import FAMILIES, story
from preflab_builtin.microworld.world import World, vocabulary

USERS = 100
"""Names under which the tasks stand, so that splitting by user splits them."""


class TaskDemonstrations:
    """`preflab.interfaces.DataSource`: tasks of all families on training combinations, in the instruction frame."""

    gold = None

    def __init__(self, config: TaskDemonstrationsConfig) -> None:
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
            before, answer = (
                story(combination, "")
                if family.name == "stories"
                else family.ask(self.world, combination)
            )
            prompt = Prompt(
                f"task-{i}",
                f"user : {before} assistant :",
                f"task-user-{i % USERS}",
                (family.name,),
            )
            yield Demonstration(prompt, answer)
