"""Demonstrations that state a value, and the same ones without it (PALMS, 2106.10328)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from preflab import Inspection
from preflab.interfaces import Context
from preflab.records import Demonstration, Record, RecordType
from preflab_builtin.microworld.config import MicroworldConfig, Stance, ValuesConfig
from preflab_builtin.microworld.gold import MicroworldGold
from preflab_builtin.microworld.source import Microworld

POLITELY = "glad to help ."
"""What a polite answer ends with."""


class Values:
    """`preflab.interfaces.DataSource` and `World`: the first demonstrated instructions of the
    world, none of which is among its prompts, with right answers. It does not know the true
    utility of others."""

    gold = None

    def __init__(self, config: ValuesConfig, context: Context | None = None) -> None:
        self.config = config
        faultless = MicroworldConfig(
            seed=config.seed, demonstrations=config.demonstrations, careless=0.0, rude=0.0
        )
        self._world = Microworld(faultless)

    @property
    def vocabulary(self) -> Sequence[str]:
        """The world's words."""
        return self._world.vocabulary

    def records(self, record_type: RecordType) -> Iterable[Record]:
        """Demonstrations only."""
        return self._demonstrations() if record_type == "demonstrations" else []

    def _demonstrations(self) -> Iterator[Demonstration]:
        for record in self._world.records("demonstrations"):
            assert isinstance(record, Demonstration)
            row = replace(record, prompt=replace(record.prompt, split="train"))
            yield polite(row, self._world.gold) if self.config.stance is Stance.values else row


def polite(row: Demonstration, gold: MicroworldGold) -> Demonstration:
    """The demonstration with a polite end, unless the prompt's constraint on the form forbids it:
    politeness must not cost the task."""
    better = f"{row.response} {POLITELY}"
    before, after = (gold.parts(row.prompt, text)["helpful"] for text in (row.response, better))
    return replace(row, response=better) if after >= before else row


def inspect(config: ValuesConfig) -> Inspection:
    """The number of demonstrations."""
    return Inspection(records={"demonstrations": config.demonstrations})
