"""Instructions in ten use cases, each with a checkable task and a good response."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from preflab_builtin.microworld.world import (
    ADJECTIVES,
    ATTRIBUTES,
    LETTERS,
    MEETINGS,
    NAMES,
    NOUNS,
    NUMBERS,
    PLACES,
    RUDE,
    VERBS,
    World,
)


@dataclass(frozen=True)
class Task:
    """An instruction and what it takes to fulfil it.

    include: groups of words; of each group one must stand in the response. sequence: words that must follow each other.
    avoid: words that make the answer wrong. at_least: this many different words out of ``choose``.
    """

    tag: str
    instruction: str
    response: str
    include: list[list[str]] = field(default_factory=list)
    sequence: list[str] = field(default_factory=list)
    avoid: list[str] = field(default_factory=list)
    choose: list[str] = field(default_factory=list)
    at_least: int = 0

    def notes(self) -> dict[str, Any]:
        """What a judge needs to know, as JSON values."""
        words = {"include": self.include, "sequence": self.sequence, "avoid": self.avoid}
        return {**words, "choose": self.choose, "at_least": self.at_least}


def _fact(world: World, chance: random.Random) -> tuple[str, str, str, list[str]]:
    name, attribute = chance.choice(NAMES), chance.choice(list(ATTRIBUTES))
    value = world.facts[name, attribute]
    return name, attribute, value, [v for v in ATTRIBUTES[attribute] if v != value]


def _open_qa(world: World, chance: random.Random) -> Task:
    name, attribute, value, others = _fact(world, chance)
    asked = chance.choice([f"what is the {attribute} of {name} ?", f"what {attribute} does {name} like ?"])
    return Task("open_qa", asked, world.statement(name, attribute), include=[[value]], avoid=others)


def _closed_qa(world: World, chance: random.Random) -> Task:
    name, place, other = chance.choice(NAMES), chance.choice(PLACES), chance.choice(NAMES)
    meeting = chance.choice(list(MEETINGS))
    text = f"{name} went to the {place} . {name} saw a {meeting} ."
    if chance.random() < 0.5:
        return Task("closed_qa", f"text : {text} question : where is {name} ?", f"{name} is in the {place} .", include=[[place]])
    asked = f"text : {text} question : what did {name} find ?"
    return Task("closed_qa", asked, f"{name} saw a {meeting} .", include=[[meeting]], avoid=[other] if other != name else [])


def _generation(world: World, chance: random.Random) -> Task:
    name, attribute, value, _ = _fact(world, chance)
    told = [world.facts[name, a] for a in ATTRIBUTES]
    return Task("generation", f"say something about {name} .", world.statement(name, attribute, value), include=[[name], told])


def _brainstorming(world: World, chance: random.Random) -> Task:
    attribute = chance.choice(list(ATTRIBUTES))
    picked = chance.sample(ATTRIBUTES[attribute], 3)
    answer = f"{picked[0]} , {picked[1]} and {picked[2]} ."
    return Task("brainstorming", f"name three {attribute}s .", answer, choose=list(ATTRIBUTES[attribute]), at_least=3)


def _rewrite(world: World, chance: random.Random) -> Task:
    wish = ["give", "me", "the", chance.choice(ADJECTIVES), chance.choice(NOUNS)]
    answer = f"please {' '.join(wish)} ."
    return Task("rewrite", f"make this polite : {' '.join(wish)} !", answer, include=[["please", "kindly"]], sequence=wish)


def _summarization(world: World, chance: random.Random) -> Task:
    name, place, meeting = chance.choice(NAMES), chance.choice(PLACES), chance.choice(list(MEETINGS))
    mood = MEETINGS[meeting]
    text = f"{name} went to the {place} . {name} saw a {meeting} . so {name} was {mood} ."
    others = sorted(set(MEETINGS.values()) - {mood})
    return Task("summarization", f"sum up : {text}", f"{name} was {mood} .", include=[[name], [mood]], avoid=others)


def _classification(world: World, chance: random.Random) -> Task:
    rude = chance.random() < 0.5
    text = f"you {chance.choice(RUDE)}" if rude else f"you are {chance.choice(ADJECTIVES)}"
    right, wrong = ("yes", "no") if rude else ("no", "yes")
    return Task("classification", f"is this rude ? {text}", f"{right} .", include=[[right]], avoid=[wrong])


def _extract(world: World, chance: random.Random) -> Task:
    attribute = chance.choice(list(ATTRIBUTES))
    values = ATTRIBUTES[attribute]
    value, noun = chance.choice(values), chance.choice(NOUNS)
    text = f"the {value} was in the {chance.choice(ADJECTIVES)} {noun} ."
    others = [v for v in values if v != value]
    return Task("extract", f"find the {attribute} in : {text}", f"{value} .", include=[[value]], avoid=others)


def _chat(world: World, chance: random.Random) -> Task:
    sad = chance.random() < 0.5
    first, second = ("sad", "bad") if sad else ("happy", "great")
    said = chance.choice([f"i am {first} today .", f"hello , today was {second} ."])
    right, wrong = (["sorry"], ["glad", "fun"]) if sad else (["glad"], ["sorry"])
    return Task("chat", said, "i am sorry for that ." if sad else "i am glad for you .", include=[right], avoid=wrong)


def _other(world: World, chance: random.Random) -> Task:
    kind = chance.randrange(3)
    if kind == 0:
        words = [chance.choice(ADJECTIVES), chance.choice(NOUNS), chance.choice(VERBS)]
        answer = world.translate(words)
        return Task("other", f"translate this : {' '.join(words)}", f"{' '.join(answer)} .", sequence=answer)
    if kind == 1:
        a, b = chance.randrange(20), chance.randrange(20)
        return Task("other", f"what is {a} + {b} ?", f"{a} + {b} = {a + b} .", sequence=["=", str(a + b)])
    letters = chance.sample(LETTERS, 3)
    return Task("other", f"sort this : {' '.join(letters)}", f"{' '.join(sorted(letters))} .", sequence=sorted(letters))


_BUILDERS: dict[Callable[[World, random.Random], Task], float] = {
    _generation: 0.22,
    _open_qa: 0.18,
    _brainstorming: 0.12,
    _chat: 0.1,
    _rewrite: 0.09,
    _summarization: 0.07,
    _classification: 0.06,
    _other: 0.06,
    _closed_qa: 0.05,
    _extract: 0.05,
}
"""Use cases and their shares, near those of InstructGPT's table 1."""


def draw_task(world: World, chance: random.Random) -> Task:
    """A task in the mix of use cases."""
    builder = chance.choices(list(_BUILDERS), weights=list(_BUILDERS.values()))[0]
    return builder(world, chance)


def constrained(task: Task, chance: random.Random) -> tuple[str, str, dict[str, Any]]:
    """(instruction, good response, notes) of a task with a constraint on the form of the response."""
    words = task.response.split()
    kind = chance.randrange(3)
    if kind == 0:
        limit = len(words) + chance.randrange(4)
        limit = min(limit, len(NUMBERS) - 1)
        return f"{task.instruction} use at most {limit} words .", task.response, {"at_most": limit}
    if kind == 1:
        word = chance.choice(["so", "great", "hello"])
        return f"{task.instruction} begin with {word} .", f"{word} {task.response}", {"begin": word}
    word = chance.choice(["please", "thanks", "welcome"])
    return f"{task.instruction} use the word {word} .", f"{task.response} {word} .", {"use": word}
