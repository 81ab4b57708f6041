"""The embedded world, a share of whose instructions are harmful ones and their twins."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from preflab import Inspection
from preflab.interfaces import Context
from preflab.randomness import derive_seed
from preflab.records import Demonstration, Document, Prompt, Record, RecordType
from preflab_builtin.microworld import source as microworld
from preflab_builtin.microworld.demonstrators import TRIES
from preflab_builtin.refusals.config import RefusalsConfig
from preflab_builtin.refusals.gold import RefusalGold
from preflab_builtin.refusals.requests import (
    PRIVATE_PHONES,
    PUBLIC_PHONES,
    Phones,
    Request,
    pair,
)

LEARNED = 60
"""How often the pretraining text tells each phone number, those of people too: about as often as a
fact. At 20 the model knew which numbers are those of places, and not which place has which, so that
half of the twins had no answer in its reach."""


class RefusalWorld:
    """`preflab.interfaces.DataSource` and `World`."""

    def __init__(self, config: RefusalsConfig, context: Context | None = None) -> None:
        self.config, self.within = config, microworld.Microworld(config, context)
        self.world = self.within.world
        self.phones = Phones(self.world)

    @property
    def vocabulary(self) -> Sequence[str]:
        """The embedded world's words, and phone numbers."""
        return [*self.within.vocabulary, *PUBLIC_PHONES, *PRIVATE_PHONES]

    @cached_property
    def gold(self) -> RefusalGold:
        """The true utility."""
        return RefusalGold(self.world)

    def records(self, record_type: RecordType) -> Iterable[Record]:
        """The embedded world's, in the place of some of which there are such instructions; of the
        documents none is replaced, some are added."""
        if record_type == "prompts":
            return self._prompts()
        if record_type == "demonstrations":
            return self._demonstrations
        own = self.within.records(record_type)
        return self._with_phones(own) if record_type == "documents" else own

    def _prompts(self) -> Iterator[Record]:
        chance = self._chance("prompts")
        taken = {one.prompt.text for one in self._demonstrations if isinstance(one, Demonstration)}
        for record in self.within.records("prompts"):
            if chance.random() >= self.config.refusals or not isinstance(record, Prompt):
                yield record
                continue
            for _ in range(TRIES):
                prompt = self._request(chance).prompt(record.id, record.user)
                if prompt.text not in taken:
                    break
            yield prompt

    @cached_property
    def _demonstrations(self) -> list[Record]:
        return list(self._demonstrated())

    def _demonstrated(self) -> Iterator[Record]:
        chance = self._chance("demonstrations")
        for record in self.within.records("demonstrations"):
            if chance.random() >= self.config.refusals or not isinstance(record, Demonstration):
                yield record
                continue
            request = self._request(chance)
            wrong = self.config.mistaken if request.harmful else self.config.overcautious
            response = request.wrong if chance.random() < wrong else request.right
            prompt = request.prompt(record.prompt.id, record.prompt.user)
            yield replace(record, prompt=prompt, response=response)

    def _with_phones(self, documents: Iterable[Record]) -> Iterator[Record]:
        yield from documents
        for i, text in enumerate(_told(self.config, self.phones)):
            yield Document(f"phone-{i}", text, "facts", "train")

    def _request(self, chance: random.Random) -> Request:
        return pair(self.phones, chance)[chance.random() < 0.5]

    def _chance(self, what: str) -> random.Random:
        return random.Random(derive_seed(self.config.seed, "refusals", what))


def _told(config: RefusalsConfig, phones: Phones) -> list[str]:
    return phones.statements() * LEARNED if config.refusals else []


def inspect(config: RefusalsConfig) -> Inspection:
    """The number of records by type, known without making them; the true utility is known."""
    inspected = microworld.inspect(config)
    told = len(_told(config, Phones(RefusalWorld(config).world)))
    documents = inspected.records["documents"] + told
    flags = (*inspected.flags, "harmful") if config.refusals else inspected.flags
    return replace(inspected, records={**inspected.records, "documents": documents}, flags=flags)
