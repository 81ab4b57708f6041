"""Simulated people who compare responses: they see help, truth and rudeness, each with tastes of
their own and with noise.

What they like and what is good differ on purpose: people like polite words and length up to high
limits, whereas the true utility declines after two polite words and after sixteen words. A reward
model learns what people like.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from preflab.errors import UserError, nearest
from preflab.interfaces import Context, Gold
from preflab.randomness import derive_seed
from preflab.records import Prompt, Ranking, preferences_from_ranks
from preflab_builtin.microworld.config import SimulatedConfig
from preflab_builtin.microworld.world import POLITE

Pair = tuple[Prompt, str, str]
"""A prompt and two responses to it."""
_POLITE = frozenset(POLITE)
HELD_OUT_PEOPLE = "held_out"
MINORITY = "minority"
"""The group that ``conflict`` adds."""
MOST_POLITE, MOST_WORDS, MOST_LIVELY = 6, 40, 3
"""Where people stop counting; higher than where the true utility declines."""


@dataclass(frozen=True)
class Person:
    """A labeler: id, group, and what each thing is worth to them in units of utility."""

    id: str
    group: str
    helpful: float
    truthful: float
    harmless: float
    polite: float
    """A polite word."""
    length: float
    """Ten words."""
    lively: float
    """An exclamation mark; some groups dislike it."""


def population(config: SimulatedConfig) -> list[Person]:
    """All people, the held-out group and the minority included. A group shares a taste; its members
    differ a little. Each taste is spread evenly over the groups, so that the population's mean
    taste does not depend on the seed."""
    chance = random.Random(derive_seed(config.seed, "labelers"))
    spread = [chance.sample(range(config.groups), config.groups) for _ in range(5)]
    people = []
    for g in range(config.groups):
        truthful, harmless, polite, length, lively = (
            (order[g] + 0.5) / config.groups for order in spread
        )
        tastes = (0.14 * polite, 0.16 * length, 0.24 * lively - 0.12)
        for i in range(config.per_group):
            own = [max(0.0, chance.gauss(1.0, 0.2)) for _ in range(6)]
            styles = [config.taste * taste * own[3 + n] for n, taste in enumerate(tastes)]
            weights = (own[0], (0.1 + 0.9 * truthful) * own[1], (0.3 + 1.2 * harmless) * own[2])
            people.append(Person(f"labeler-{g}-{i}", f"group-{g}", *weights, *styles))
    return people + _minority(config)


def _minority(config: SimulatedConfig) -> list[Person]:
    """Those who want the opposite in part: they weigh help, truth and rudeness as the others do on
    average, and dislike each polite word and each ten words as much as ``conflict_taste`` says.
    They are drawn by themselves, so that the others are the same people with and without them."""
    chance = random.Random(derive_seed(config.seed, "labelers", MINORITY))
    people = []
    for i in range(config.minority()):
        own = [max(0.0, chance.gauss(1.0, 0.2)) for _ in range(5)]
        weights = (own[0], 0.55 * own[1], 0.9 * own[2])
        styles = (-config.conflict_taste * own[3], -config.conflict_taste * own[4], 0.0)
        people.append(Person(f"labeler-{MINORITY}-{i}", MINORITY, *weights, *styles))
    return people


class SimulatedLabelers:
    """`preflab.interfaces.Labeler`. A person's verdict on two responses is the difference of their
    perceived utilities plus logistic noise of scale ``noise``; it is a tie within ``tie`` of 0.
    Without ties that is Bradley-Terry for each person; a population is a mixture of them."""

    def __init__(self, config: SimulatedConfig, gold: Gold | None) -> None:
        if gold is None:
            raise UserError(
                "labeler=simulated needs a simulated world (data=microworld): it cannot judge real "
                "text. Give rankings (rankings=files rankings.path=FILE) or choose labeler=none."
            )
        self.config, self.gold = config, gold
        everybody = population(config)
        out = None if config.held_out_group is None else f"group-{config.held_out_group}"
        self.people = [p for p in everybody if p.group != out]
        self.held_out = [p for p in everybody if p.group == out]

    # --- rankings ---

    def rank(
        self, prompt: Prompt, responses: Sequence[str], seed: Sequence[int | str]
    ) -> Sequence[Ranking]:
        """One ranking per labeler who is asked; the seed decides who is asked, and their noise."""
        chance = random.Random(derive_seed(*seed))
        asked = chance.sample(self.people, min(self.config.labelers_per_prompt, len(self.people)))
        return [self._ranking(person, prompt, responses, chance) for person in asked]

    def utility(self, person: Person, prompt: Prompt, response: str) -> float:
        """What a response is worth to a person, without noise."""
        parts, words = self.gold.parts(prompt, response), response.split()
        seen = (
            person.helpful * parts["helpful"]
            + person.truthful * parts["truthful"]
            + person.harmless * parts["harmless"]
        )
        polite = person.polite * min(MOST_POLITE, sum(word in _POLITE for word in words))
        lively = person.lively * min(MOST_LIVELY, words.count("!"))
        return seen + polite + lively + person.length * min(MOST_WORDS, len(words)) / 10

    def mean_utility(self, group: str, prompt: Prompt, response: str) -> float:
        """What a response is worth to a group's people on average."""
        people = self._group(group)
        return sum(self.utility(p, prompt, response) for p in people) / len(people)

    def _ranking(
        self, person: Person, prompt: Prompt, responses: Sequence[str], chance: random.Random
    ) -> Ranking:
        # The difference of two Gumbel numbers is logistic: each pair is judged as `_verdicts` says.
        # Equal texts get equal noise.
        noise = {
            text: -math.log(-math.log(chance.random() or 1e-12))
            for text in dict.fromkeys(responses)
        }
        seen = [
            self.utility(person, prompt, text) + self.config.noise * noise[text]
            for text in responses
        ]
        ranks = [0] * len(seen)
        rank, best_of_rank = 0, math.inf
        for i in sorted(range(len(seen)), key=lambda i: -seen[i]):
            if rank == 0 or best_of_rank - seen[i] > self.config.tie:
                rank, best_of_rank = rank + 1, seen[i]
            ranks[i] = rank
        who, ratings = (person.id, person.group), tuple(seen) if self.config.ratings else ()
        preferences = preferences_from_ranks(ranks)
        return Ranking(prompt, tuple(responses), preferences, *who, ratings=ratings)

    # --- what can be computed exactly ---

    def preference(
        self, prompt: Prompt, first: str, second: str, group: str | None = None
    ) -> float:
        """Share of people who prefer ``first``, ties counted half: exact, without a draw. group:
        whose opinion ("group-4", or "held_out"); None: of the people who label training data.
        `UserError` for a group that does not exist."""
        verdicts = self._verdicts((prompt, first, second), group)
        return sum(0.5 * (1 + wins - loses) for wins, loses in verdicts) / len(verdicts)

    def agreement(self, pairs: Sequence[Pair], group: str | None = None) -> float:
        """P(two different people, drawn at random, prefer the same response | neither calls it a
        tie), over all pairs: the inter-labeler agreement of InstructGPT 3.4 (72.6 % for training
        labelers, 77.3 % for held-out ones)."""
        same = both = 0.0
        for pair in pairs:
            alike, sided = self.alike(pair, group)
            same, both = same + alike, both + sided
        return same / both if both else math.nan

    def alike(self, pair: Pair, group: str | None = None) -> tuple[float, float]:
        """Of the ordered pairs of different people of a group: expected number that prefer the same
        response, and that both prefer one (no tie)."""
        verdicts = self._verdicts(pair, group)
        wins, loses = sum(w for w, _ in verdicts), sum(v for _, v in verdicts)
        # The square of the sum, less the terms of a person with themselves.
        same = wins**2 - sum(w**2 for w, _ in verdicts) + loses**2 - sum(v**2 for _, v in verdicts)
        return same, (wins + loses) ** 2 - sum((w + v) ** 2 for w, v in verdicts)

    def ceiling(self, pairs: Sequence[Pair], group: str | None = None) -> float:
        """The highest accuracy that any scorer can reach on single verdicts of random people on
        these pairs, ties left out: that of always siding with the majority."""
        right = voted = 0.0
        for pair in pairs:
            verdicts = self._verdicts(pair, group)
            wins, loses = sum(w for w, _ in verdicts), sum(v for _, v in verdicts)
            right, voted = right + max(wins, loses), voted + wins + loses
        return right / voted if voted else math.nan

    def votes(self, pair: Pair, group: str | None = None) -> tuple[float, float]:
        """Expected share of a group's people who clearly prefer the first response, and the second;
        the rest are ties."""
        verdicts = self._verdicts(pair, group)
        wins, loses = sum(w for w, _ in verdicts), sum(v for _, v in verdicts)
        return wins / len(verdicts), loses / len(verdicts)

    @property
    def groups(self) -> list[str]:
        """Names of all groups, the held-out one last."""
        return list(dict.fromkeys(person.group for person in [*self.people, *self.held_out]))

    def _group(self, group: str | None) -> Sequence[Person]:
        if group is None:
            return self.people
        if group == HELD_OUT_PEOPLE:
            if not self.held_out:
                raise UserError(
                    "Every group labels training data (labeler.held_out_group=null): there is no "
                    "held-out opinion."
                )
            return self.held_out
        everybody = [*self.people, *self.held_out]
        members = [p for p in everybody if p.group == group]
        if not members:
            hint = nearest(group, {p.group for p in everybody})
            raise UserError(f"labeler=simulated has no group {group!r}. {hint}")
        return members

    def _verdicts(self, pair: Pair, group: str | None) -> list[tuple[float, float]]:
        """For each person: (P(the first is clearly better), P(the second is)); the rest, up to 1,
        is P(tie). Equal texts are a tie for everybody."""
        prompt, first, second = pair
        people = self._group(group)
        if first == second:
            return [(0.0, 0.0)] * len(people)
        scale, tie = self.config.noise, self.config.tie
        gaps = [self.utility(p, prompt, first) - self.utility(p, prompt, second) for p in people]
        return [(_logistic((gap - tie) / scale), _logistic((-gap - tie) / scale)) for gap in gaps]


def people_of(config: SimulatedConfig, context: Context) -> SimulatedLabelers:
    """The labelers of a run's world."""
    return SimulatedLabelers(config, context.gold)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
