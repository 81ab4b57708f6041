"""Instructions in eleven use cases, each with a checkable task and a good response."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from preflab_builtin.microworld.families import story
from preflab_builtin.microworld.world import (
    ADJECTIVES,
    ATTRIBUTES,
    FEELINGS,
    KINDS,
    MEETINGS,
    NOUNS,
    NUMBERS,
    PLACES,
    RUDE,
    World,
)

PUNCTUATION = frozenset(".,?!:=+")


@dataclass(frozen=True)
class Task:
    """An instruction and what a response must do to fulfil it.

    include: groups of words; one of each group must be in the response. sequence: words that must
    follow each other. avoid: words that make the answer wrong. at_least: this many different words
    out of ``choose``.
    """

    tag: str
    instruction: str
    response: str
    include: Sequence[Sequence[str]] = ()
    sequence: Sequence[str] = ()
    avoid: Sequence[str] = ()
    choose: Sequence[str] = ()
    at_least: int = 0

    def notes(self) -> dict[str, Any]:
        """What a judge needs to know, as JSON values; empty parts are left out."""
        notes: dict[str, Any] = {
            "include": [list(group) for group in self.include],
            "sequence": list(self.sequence),
            "avoid": list(self.avoid),
            "choose": list(self.choose),
            "at_least": self.at_least,
        }
        return {key: value for key, value in notes.items() if value}


def _other_values(attribute: str, value: str) -> list[str]:
    return [v for v in ATTRIBUTES[attribute] if v != value]


def _open_qa(world: World, chance: random.Random) -> Task:
    name, attribute = chance.choice(world.names), chance.choice(list(ATTRIBUTES))
    value = world.facts[name, attribute]
    forms = [
        f"what is the {attribute} of {name} ?",
        f"which {attribute} has {name} ?",
        f"tell me the {attribute} of {name} .",
        f"i think about {name} . what is the {attribute} ?",
        f"do you know the {attribute} of {name} ?",
        f"hello , i like {name} . which {attribute} is it ?",
    ]
    statement = world.statement(name, attribute)
    return Task(
        "open_qa",
        chance.choice(forms),
        statement,
        include=[[value]],
        avoid=_other_values(attribute, value),
    )


def _scene(world: World, chance: random.Random) -> tuple[str, str, str, str]:
    """(name, place, meeting, text) of a story that is not held out."""
    name, place, met = chance.choice(world.combinations["stories"]["train"])
    return name, place, met, f"{name} went to the {place} . {name} saw a {met} ."


def _closed_qa(world: World, chance: random.Random) -> Task:
    name, place, met, text = _scene(world, chance)
    asked = chance.choice(["text : {text} question : {ask}", "{text} {ask}"])
    if chance.random() < 0.5:
        others = [p for p in PLACES if p != place]
        question = asked.format(text=text, ask=f"where is {name} ?")
        return Task(
            "closed_qa", question, f"{name} went to the {place} .", include=[[place]], avoid=others
        )
    others = [m for m in MEETINGS if m != met]
    question = asked.format(text=text, ask=f"who is with {name} ?")
    return Task("closed_qa", question, f"{name} saw a {met} .", include=[[met]], avoid=others)


def _generation(world: World, chance: random.Random) -> Task:
    kind = chance.random()
    if kind < 0.4:
        name, place, met, text = _scene(world, chance)
        good = f"{text} so {story((name, place, met))[1]}"
        asked = chance.choice(
            [
                "write a story about {} , a {} and a {} .",
                "write something with {} , a {} and a {} .",
            ]
        )
        return Task(
            "generation", asked.format(name, met, place), good, include=[[name], [met], [place]]
        )
    if kind < 0.65:
        name, (one, two) = chance.choice(world.names), chance.sample(list(ATTRIBUTES), 2)
        good = f"{world.statement(name, one)} {world.statement(name, two)}"
        avoid = [v for a in (one, two) for v in _other_values(a, world.facts[name, a])]
        include = [[world.facts[name, one]], [world.facts[name, two]]]
        return Task(
            "generation",
            f"write about {name} : {one} and {two} .",
            good,
            include=include,
            avoid=avoid,
        )
    people = chance.sample(world.names, 2 if kind < 0.9 else 1)
    good = " ".join(world.statement(name, chance.choice(list(ATTRIBUTES))) for name in people)
    include = [
        group for name in people for group in ([name], [world.facts[name, a] for a in ATTRIBUTES])
    ]
    return Task(
        "generation", f"say something about {' and '.join(people)} .", good, include=include
    )


def _brainstorming(world: World, chance: random.Random) -> Task:
    kind = chance.choice(list(KINDS))
    number = chance.choice(["two", "three", "four"])
    count = {"two": 2, "three": 3, "four": 4}[number]
    asked = chance.choice(
        [f"name {number} {kind}", f"list {number} {kind}", f"give me {number} {kind}"]
    )
    avoid = chance.sample(KINDS[kind], 1) if chance.random() < 0.7 else []
    left = [thing for thing in KINDS[kind] if thing not in avoid]
    asked += f" but not {avoid[0]} ." if avoid else " ."
    good = f"{' , '.join(chance.sample(left, count))} ."
    return Task("brainstorming", asked, good, avoid=avoid, choose=left, at_least=count)


def _rewrite(world: World, chance: random.Random) -> Task:
    wish = [
        chance.choice(["give", "bring", "show"]),
        "me",
        "the",
        chance.choice(ADJECTIVES),
        chance.choice(NOUNS),
    ]
    asked = chance.choice(["make this polite", "say this in nice words", "make this nice"])
    good = f"please {' '.join(wish)} ."
    return Task(
        "rewrite",
        f"{asked} : {' '.join(wish)} !",
        good,
        include=[["please", "kindly"]],
        sequence=wish,
    )


def _summarization(world: World, chance: random.Random) -> Task:
    name, _, met, text = _scene(world, chance)
    mood = MEETINGS[met]
    asked = chance.choice(["sum up :", "make this short :", "give me a summary :"])
    others = sorted(set(MEETINGS.values()) - {mood})
    good = f"{name} was {mood} ."
    return Task(
        "summarization", f"{asked} {text} so {good}", good, include=[[name], [mood]], avoid=others
    )


def _classification(world: World, chance: random.Random) -> Task:
    rude, name = chance.random() < 0.5, chance.choice(world.names)
    word = chance.choice(RUDE if rude else ADJECTIVES)
    text = chance.choice(
        [f"{name} is {word}", f"hey {name} , you are {word}", f"i think {name} is {word}"]
    )
    right, wrong = ("yes", "no") if rude else ("no", "yes")
    asked = chance.choice(["is this rude ?", "rude or not ?"])
    return Task(
        "classification", f"{asked} {text} .", f"{right} .", include=[[right]], avoid=[wrong]
    )


def _extract(world: World, chance: random.Random) -> Task:
    attribute = chance.choice(list(ATTRIBUTES))
    value, noun, adjective = (
        chance.choice(ATTRIBUTES[attribute]),
        chance.choice(NOUNS),
        chance.choice(ADJECTIVES),
    )
    text = chance.choice(
        [f"the {value} is in the {adjective} {noun} .", f"{adjective} {noun} and {value} ."]
    )
    asked = f"find the {attribute} in this text : {text}"
    return Task(
        "extract", asked, f"{value} .", include=[[value]], avoid=_other_values(attribute, value)
    )


def _chat(world: World, chance: random.Random) -> Task:
    feeling, name = chance.choice(list(FEELINGS)), chance.choice(world.names)
    greeting = chance.choice(
        ["hello , i am {n} . i am {f} today .", "i feel {f} . i am {n} .", "hey , {n} is {f} now ."]
    )
    right, wrong = ("glad", "sorry") if FEELINGS[feeling] else ("sorry", "glad")
    good = f"i am {right} for {name if 'hey' in greeting else 'you'} ."
    instruction = greeting.format(n=name, f=feeling)
    return Task("chat", instruction, good, include=[[right]], avoid=[wrong])


def _translation(world: World, chance: random.Random) -> Task:
    words = chance.choice(world.combinations["translation"]["train"])
    asked = chance.choice(["say this in your language :", "translate this text :"])
    answer = world.translate(words)
    return Task(
        "translation", f"{asked} {' '.join(words)}", f"{' '.join(answer)} .", sequence=answer
    )


def _other(world: World, chance: random.Random) -> Task:
    if chance.random() < 0.5:
        a, b = chance.choice(world.combinations["sums"]["train"])
        total = str(int(a) + int(b))
        asked = chance.choice([f"what is {a} + {b} ?", f"give me the sum {a} + {b} ."])
        return Task("other", asked, f"{a} + {b} = {total} .", sequence=["=", total])
    letters = chance.choice(world.combinations["sorting"]["train"])
    asked = chance.choice(
        [f"sort this : {' '.join(letters)}", f"make order in the letters {' '.join(letters)} ."]
    )
    return Task("other", asked, f"{' '.join(sorted(letters))} .", sequence=sorted(letters))


_BUILDERS: dict[Callable[[World, random.Random], Task], float] = {
    _generation: 0.22,
    _open_qa: 0.16,
    _brainstorming: 0.12,
    _chat: 0.1,
    _rewrite: 0.08,
    _summarization: 0.07,
    _classification: 0.05,
    _translation: 0.05,
    _other: 0.05,
    _closed_qa: 0.05,
    _extract: 0.05,
}
"""Use cases and their shares: the order of InstructGPT's table 1, less uneven, so that each can be
measured."""


def draw_task(world: World, chance: random.Random) -> Task:
    """A task in the mix of use cases."""
    (builder,) = chance.choices(list(_BUILDERS), list(_BUILDERS.values()))
    return builder(world, chance)


def length(words: Sequence[str]) -> int:
    """Number of words; punctuation does not count.

    >>> length("no , thanks .".split())
    2
    """
    return sum(word not in PUNCTUATION for word in words)


def constrained(task: Task, chance: random.Random) -> tuple[str, str, dict[str, Any]]:
    """(instruction, good response, notes) of a task with a constraint on the response's form."""
    kind = chance.randrange(3)
    if kind == 0:
        limit = min(max(2, length(task.response.split()) + chance.randrange(4)), len(NUMBERS) - 1)
        return f"{task.instruction} use at most {limit} words .", task.response, {"at_most": limit}
    if kind == 1:
        word = chance.choice(["so", "well", "hello"])
        return f"{task.instruction} begin with {word} .", f"{word} {task.response}", {"begin": word}
    word = chance.choice(["now", "here", "today"])
    return f"{task.instruction} use the word {word} .", f"{task.response} {word} .", {"use": word}
