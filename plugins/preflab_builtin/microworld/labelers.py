"""Simulated people who compare responses: they see help, truth and rudeness, each with a taste and with noise."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from preflab.errors import UserError
from preflab.interfaces import Gold
from preflab.randomness import derive_seed
from preflab.records import Prompt, Ranking, preferences_from_ranks
from preflab_builtin.microworld.config import SimulatedConfig
from preflab_builtin.microworld.world import POLITE

_POLITE = frozenset(POLITE)


@dataclass(frozen=True)
class Person:
    """A labeler: id, group, and what each thing is worth to them in units of utility."""

    id: str
    group: str
    helpful: float
    truthful: float
    harmless: float
    polite: float
    """A polite word, up to three."""
    length: float
    """Ten words, up to twenty of them."""


def population(config: SimulatedConfig) -> list[Person]:
    """All people, the held-out group included. A group shares a taste; its members differ a little."""
    chance = random.Random(derive_seed(config.seed, "labelers"))
    people = []
    for g in range(config.groups):
        polite, length, truthful, harmless = (chance.uniform(0.0, top) for top in (0.16, 0.2, 0.9, 1.2))
        for i in range(config.per_group):
            own = [chance.gauss(1.0, 0.2) for _ in range(5)]
            people.append(
                Person(f"labeler-{g}-{i}", f"group-{g}", own[0], (0.1 + truthful) * own[1], (0.3 + harmless) * own[2],
                       config.taste * polite * own[3], config.taste * length * own[4])
            )  # fmt: skip
    return people


class SimulatedLabelers:
    """`preflab.interfaces.Labeler`. People rank by perceived utility plus logistic noise between any two responses."""

    def __init__(self, config: SimulatedConfig, gold: Gold | None) -> None:
        if gold is None:
            raise UserError(
                "labeler=simulated needs a simulated world (data=microworld): it cannot judge real text. Give rankings "
                "(rankings=files rankings.path=FILE) or choose labeler=none."
            )
        self.config, self.gold = config, gold
        everybody = population(config)
        out = None if config.held_out_group is None else f"group-{config.held_out_group}"
        self.people = [p for p in everybody if p.group != out]
        self.held_out = [p for p in everybody if p.group == out]

    def utility(self, person: Person, prompt: Prompt, response: str) -> float:
        """What a response is worth to a person, without noise."""
        parts, words = self.gold.parts(prompt, response), response.split()
        style = person.polite * min(3, sum(w in _POLITE for w in words)) + person.length * min(20, len(words)) / 10
        seen = person.helpful * parts["helpful"] + person.truthful * parts["truthful"] + person.harmless * parts["harmless"]
        return seen + style

    def rank(self, prompt: Prompt, responses: Sequence[str], seed: Sequence[int | str]) -> Sequence[Ranking]:
        """One ranking a labeler who is asked; who is asked and their noise follow from the seed."""
        chance = random.Random(derive_seed(*seed))
        asked = chance.sample(self.people, min(self.config.labelers_per_prompt, len(self.people)))
        return [self._ranking(person, prompt, responses, chance) for person in asked]

    def _ranking(self, person: Person, prompt: Prompt, responses: Sequence[str], chance: random.Random) -> Ranking:
        # The difference of two Gumbel numbers is logistic: each pair is judged as `_wins` says. Equal texts get equal noise.
        noise = {text: -math.log(-math.log(chance.random() or 1e-12)) for text in dict.fromkeys(responses)}
        seen = [self.utility(person, prompt, text) + self.config.noise * noise[text] for text in responses]
        ranks = [0] * len(seen)
        rank, previous = 0, math.inf
        for i in sorted(range(len(seen)), key=lambda i: -seen[i]):
            if previous - seen[i] >= self.config.tie or previous == math.inf:
                rank, previous = rank + 1, seen[i]
            ranks[i] = rank
        return Ranking(prompt, tuple(responses), preferences_from_ranks(ranks), person.id, person.group)

    def preference(self, prompt: Prompt, first: str, second: str) -> float:
        """Share of the training labelers who prefer ``first``, ties half: exact, without noise of its own."""
        return self.share(self.people, prompt, first, second)

    def share(self, people: Sequence[Person], prompt: Prompt, first: str, second: str) -> float:
        """The same for any group of people."""
        if first == second:
            return 0.5
        return sum(sum(self._wins(p, prompt, first, second)) for p in people) / (2 * len(people))

    def _wins(self, person: Person, prompt: Prompt, first: str, second: str) -> tuple[float, float]:
        """(P(first is clearly better), 1 - P(second is clearly better)): their mean counts a tie half."""
        difference = self.utility(person, prompt, first) - self.utility(person, prompt, second)
        scale, tie = self.config.noise, self.config.tie
        return _logistic((difference - tie) / scale), _logistic((difference + tie) / scale)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
