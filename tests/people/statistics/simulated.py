"""Rounds of simulated people whose agreement and win rates are known in closed form.

Agreement. Prompt i has three pairs of responses and a clearness d_i in [0, 1/2]; person l has a
skill s_l in [0, 1]. A person who takes a side takes the right one with probability 1/2 + d_i s_l,
and calls a pair equal with probability T. Two people who both take a side then agree on prompt i
with probability 1/2 + 2 d_i^2 s_l s_m.

Win rates. A person prefers the run with probability 0.55 + a_i + b_l, where a_i and b_l have mean
0, and calls the pair equal with probability T.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from preflab.records import Prompt
from preflab_people.judgments import Answer, Judgment, Person, Task
from preflab_people.statistics.votes import Round

T = 0.2
PAIRS = 3
CLEAR = (0.3, 0.5)
"""Between these values clearness is uniform: E[d^2] = (a^2 + a b + b^2) / 3."""
SKILL = (0.5, 1.0)
MEAN = 0.55
_SQUARE = sum((CLEAR[0] ** 2, CLEAR[0] * CLEAR[1], CLEAR[1] ** 2)) / 3


@dataclass(frozen=True)
class Truth:
    """Agreement in the three definitions."""

    both_sides: float
    ties_half: float
    alpha: float


def truth(both_sides: float) -> Truth:
    """The other definitions. A pair of votes is equal where both are ties (T^2) or both take the
    same side; a tie against a side (2 T (1 - T)) is half. Both sides are as common."""
    same = T**2 + (1 - T) ** 2 * both_sides
    chance = T**2 + 2 * ((1 - T) / 2) ** 2
    return Truth(both_sides, same + T * (1 - T), 1 - (1 - same) / (1 - chance))


def of_population() -> Truth:
    """Of two people and a prompt that were drawn: skills are independent."""
    return truth(0.5 + 2 * _SQUARE * (sum(SKILL) / 2) ** 2)


def of_people(skills: list[float]) -> Truth:
    """Of two of these people, on a prompt that was drawn."""
    pairs = [a * b for a, b in combinations(skills, 2)]
    return truth(0.5 + 2 * _SQUARE * sum(pairs) / len(pairs))


def skills_of(seed: int, people: int) -> list[float]:
    """The skills of the people of a round."""
    return [float(s) for s in np.random.default_rng([seed, 1]).uniform(*SKILL, people)]


def agreement_round(seed: int, prompts: int, people: int) -> Round:
    """Every prompt is judged by two people who are drawn."""
    random, skills = np.random.default_rng(seed), skills_of(seed, people)
    tasks: list[Task] = []
    judgments: list[Judgment] = []
    for i in range(prompts):
        clear = random.uniform(*CLEAR)
        labelers = random.permutation(people)[:2].tolist()
        for k in range(PAIRS):
            right = bool(random.random() < 0.5)
            tasks.append(Task(f"t{i}-{k}", "rank", Prompt(f"p{i}", "?"), ("a", "b"), want=2))
            for labeler in labelers:
                first = right == bool(random.random() < 0.5 + clear * skills[labeler])
                ranks = (1, 1) if random.random() < T else (1, 2) if first else (2, 1)
                judgments.append(Judgment(tasks[-1].id, f"labeler-{labeler}", Answer(ranks)))
    return Round(tasks, judgments, [Person(f"labeler-{i}") for i in range(people)])


WON = T / 2 + (1 - T) * MEAN
"""The true win rate of the run "new" over "old": 0.54."""


def comparison_round(seed: int, prompts: int, people: int, overlap: float = 0.2) -> Round:
    """Two runs, compared by one person a prompt and by a second one with probability overlap; with
    overlap 1 or more by everybody."""
    random = np.random.default_rng(seed)
    taste = random.uniform(-0.15, 0.15, people)
    tasks: list[Task] = []
    judgments: list[Judgment] = []
    arms = (("old",), ("new",))
    for i in range(prompts):
        quality = random.uniform(-0.25, 0.25)
        tasks.append(Task(f"t{i}", "compare", Prompt(f"p{i}", "?"), ("a", "bb"), arms))
        count = people if overlap >= 1 else 1 + int(random.random() < overlap)
        for labeler in random.permutation(people)[:count].tolist():
            won = random.random() < MEAN + quality + taste[labeler]
            ranks = (1, 1) if random.random() < T else (2, 1) if won else (1, 2)
            judgments.append(Judgment(f"t{i}", f"labeler-{labeler}", Answer(ranks)))
    return Round(tasks, judgments, [Person(f"labeler-{i}") for i in range(people)])
