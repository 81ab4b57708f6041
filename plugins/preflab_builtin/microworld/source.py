"""The data source: prompts of users, demonstrations, documents."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from preflab import Inspection
from preflab.interfaces import Context
from preflab.randomness import derive_seed
from preflab.records import Demonstration, Prompt, Record, RecordType
from preflab_builtin.microworld.config import MicroworldConfig
from preflab_builtin.microworld.demonstrators import TRIES, careless, rudely
from preflab_builtin.microworld.documents import HELD_OUT, documents, held_out_talk
from preflab_builtin.microworld.families import FAMILIES
from preflab_builtin.microworld.gold import FLAGS, PARTS, MicroworldGold
from preflab_builtin.microworld.tasks import Task, constrained, draw_task
from preflab_builtin.microworld.world import EMAILS, PHONES, World, vocabulary


@dataclass(frozen=True)
class Instruction:
    """What a user wants: the task, the words it is asked in, a good response, and the notes that a
    judge needs."""

    task: Task
    text: str
    response: str
    notes: Mapping[str, Any]

    def prompt(self, id: str, user: str) -> Prompt:
        """The record; its cue "assistant :" asks for the response."""
        return Prompt(
            id, f"user : {self.text} assistant :", user, (self.task.tag,), notes=self.notes
        )


class Microworld:
    """`preflab.interfaces.DataSource` and `World`."""

    def __init__(self, config: MicroworldConfig, context: Context | None = None) -> None:
        self.config = config
        self.world = World(config.seed, config.people, config.held_out)

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """All words."""
        return vocabulary()

    @cached_property
    def gold(self) -> MicroworldGold:
        """The true utility."""
        return MicroworldGold(self.world)

    def records(self, record_type: RecordType) -> Iterable[Record]:
        """Prompts and demonstrations without a split (a filter assigns it by user); documents with
        one; no rankings."""
        if record_type == "prompts":
            return self._prompts()
        if record_type == "demonstrations":
            return self._demonstrations()
        return documents(self.config, self.world) if record_type == "documents" else []

    @cached_property
    def _demonstrated(self) -> list[Instruction]:
        """The instructions that are demonstrated: none of the prompts, as in InstructGPT."""
        chance = random.Random(derive_seed(self.config.seed, "demonstrated"))
        taken: set[str] = set()
        return [self._instruction(chance, taken) for _ in range(self.config.demonstrations)]

    def _prompts(self) -> Iterator[Prompt]:
        chance = random.Random(derive_seed(self.config.seed, "prompts"))
        taken = {instruction.text for instruction in self._demonstrated}
        earlier: list[Instruction] = []
        for i in range(self.config.prompts):
            if earlier and chance.random() < self.config.repeated:
                instruction = _again(chance.choice(earlier), chance)
            else:
                instruction = self._instruction(chance, taken)
                earlier.append(instruction)
            yield instruction.prompt(f"prompt-{i}", self._user(chance))

    def _instruction(self, chance: random.Random, taken: set[str]) -> Instruction:
        """An instruction in words that are not taken yet, and take them; if all tries fail, one in
        words that are taken."""
        for _ in range(TRIES):
            instruction = self._draw(chance)
            if instruction.text not in taken:
                break
        taken.add(instruction.text)
        return instruction

    def _draw(self, chance: random.Random) -> Instruction:
        task = draw_task(self.world, chance)
        text, response = task.instruction, task.response
        form: dict[str, Any] = {}
        if chance.random() < self.config.constrained:
            text, response, form = constrained(task, chance)
        if chance.random() < self.config.private:
            phone, mail = chance.choice(PHONES), chance.choice(EMAILS)
            private = chance.choice([f"my phone is {phone} .", f"my mail is {mail} ."])
            text = f"{private} {text}"
        return Instruction(task, text, response, {**task.notes(), **form})

    def _user(self, chance: random.Random) -> str:
        # Squaring makes a few users write most prompts, as customers do (InstructGPT table 8).
        return f"user-{int(self.config.users * chance.random() ** 2)}"

    def _demonstrations(self) -> Iterator[Demonstration]:
        """Most are good; some miss the task, some are rude, as with real people."""
        chance = random.Random(derive_seed(self.config.seed, "demonstrations"))
        for i, instruction in enumerate(self._demonstrated):
            response = instruction.response
            if chance.random() < self.config.careless:
                response = careless(self.world, instruction.task, chance)
            if chance.random() < self.config.rude:
                response = rudely(response, chance)
            yield Demonstration(
                instruction.prompt(f"demonstration-{i}", self._user(chance)), response
            )


def _again(instruction: Instruction, chance: random.Random) -> Instruction:
    """The same instruction once more, word for word or nearly so."""
    if chance.random() < 0.75:
        return instruction
    polite = [f"hello . {instruction.text}", f"{instruction.text} thanks ."]
    return replace(instruction, text=chance.choice(polite))


def inspect(config: MicroworldConfig) -> Inspection:
    """The number of records by type, known without making them; the true utility is known."""
    probes = len(FAMILIES) * (config.held_out + config.held_out // 4)
    held_out = probes + sum(held_out_talk(config, split) for split in HELD_OUT)
    records = {
        "prompts": config.prompts,
        "demonstrations": config.demonstrations,
        "documents": config.documents + held_out,
    }
    return Inspection(records=records, gold=PARTS, families=tuple(FAMILIES), flags=FLAGS)
