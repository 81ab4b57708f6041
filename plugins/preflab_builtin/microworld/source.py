"""The data source: prompts of users, demonstrations, documents."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from preflab.randomness import derive_seed
from preflab.records import Demonstration, Prompt, Record, RecordType
from preflab_builtin.microworld.config import MicroworldConfig
from preflab_builtin.microworld.documents import FAMILIES, documents
from preflab_builtin.microworld.gold import MicroworldGold
from preflab_builtin.microworld.tasks import Task, constrained, draw_task
from preflab_builtin.microworld.world import NUMBERS, RUDE, World, vocabulary


class Microworld:
    """`preflab.interfaces.DataSource`."""

    def __init__(self, config: MicroworldConfig) -> None:
        self.config, self.world = config, World(config.seed)

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """All words."""
        return vocabulary()

    @cached_property
    def gold(self) -> MicroworldGold:
        """The true utility."""
        return MicroworldGold(self.world)

    def records(self, record_type: RecordType) -> Iterable[Record]:
        """Prompts and demonstrations without a split (a filter assigns it by user); documents with one; no rankings."""
        if record_type == "prompts":
            return self._prompts()
        if record_type == "demonstrations":
            return self._demonstrations()
        return documents(self.config, self.world) if record_type == "documents" else []

    def _prompts(self) -> Iterator[Prompt]:
        chance = random.Random(derive_seed(self.config.seed, "prompts"))
        earlier: list[Prompt] = []
        for i in range(self.config.prompts):
            if earlier and chance.random() < self.config.repeated:
                twin = chance.choice(earlier)
                yield Prompt(f"prompt-{i}", twin.text, self._user(chance), twin.tags, notes=twin.notes)
                continue
            prompt, _, _ = self._prompt(f"prompt-{i}", chance)
            earlier.append(prompt)
            yield prompt

    def _prompt(self, id: str, chance: random.Random) -> tuple[Prompt, str, Task]:
        """(prompt, a good response, the task)."""
        task = draw_task(self.world, chance)
        instruction, response = task.instruction, task.response
        more: dict[str, Any] = {}
        if chance.random() < self.config.constrained:
            instruction, response, more = constrained(task, chance)
        if chance.random() < self.config.private:
            digits = " ".join(chance.choice(NUMBERS[:10]) for _ in range(7))
            instruction = f"my phone is {digits} . {instruction}"
        text = f"user : {instruction} assistant :"
        return Prompt(id, text, self._user(chance), (task.tag,), notes={**task.notes(), **more}), response, task

    def _user(self, chance: random.Random) -> str:
        # Squaring makes a few users write most prompts, as customers do (InstructGPT table 8).
        return f"user-{int(self.config.users * chance.random() ** 2)}"

    def _demonstrations(self) -> Iterator[Demonstration]:
        """Most are good; some miss the task, some are rude: people are people."""
        chance = random.Random(derive_seed(self.config.seed, "demonstrations"))
        for i in range(self.config.demonstrations):
            prompt, response, _ = self._prompt(f"demonstration-{i}", chance)
            if chance.random() < self.config.careless:
                response = draw_task(self.world, chance).response
            if chance.random() < self.config.rude:
                word = chance.choice(RUDE)
                response = f"{response} you {word} !" if chance.random() < 0.5 else f"{word} ! {response}"
            yield Demonstration(prompt, response)


def counts(config: MicroworldConfig) -> dict[str, int]:
    """Number of records by type, known without making them."""
    probes = len(FAMILIES) * (config.held_out + config.held_out // 4)
    return {"prompts": config.prompts, "demonstrations": config.demonstrations, "documents": config.documents + probes}
