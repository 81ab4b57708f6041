"""Pretraining text: families of documents, with combinations that no training document shows."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from preflab.randomness import derive_seed
from preflab.records import Document
from preflab_builtin.microworld.config import MicroworldConfig
from preflab_builtin.microworld.tasks import draw_task
from preflab_builtin.microworld.world import (
    ADJECTIVES,
    ATTRIBUTES,
    LETTERS,
    MEETINGS,
    NAMES,
    NOUNS,
    PLACES,
    RUDE,
    VERBS,
    World,
)

Combination = tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """combinations: all that can be asked; ask: one of them -> (what comes before, the answer that must follow)."""

    name: str
    combinations: Sequence[Combination]
    ask: Callable[[World, Combination], tuple[str, str]]


def _facts(world: World, c: Combination) -> tuple[str, str]:
    wording, name, attribute = c
    asked = {
        "full": f"question : what is the {attribute} of {name} ? answer :",
        "short": f"question : {attribute} of {name} ? answer :",
        "tell": f"question : tell me what {attribute} {name} has ? answer :",
        "know": f"question : do you know what is the {attribute} of {name} ? answer :",
    }
    return asked[wording], f"{world.facts[name, attribute]} ."


def _sums(world: World, c: Combination) -> tuple[str, str]:
    return f"{c[0]} + {c[1]} =", f"{int(c[0]) + int(c[1])} ."


def _translation(world: World, c: Combination) -> tuple[str, str]:
    return f"translate : {' '.join(c)} =", f"{' '.join(world.translate(list(c)))} ."


def _sorting(world: World, c: Combination) -> tuple[str, str]:
    return f"sort : {' '.join(c)} =", f"{' '.join(sorted(c))} ."


def _reversal(world: World, c: Combination) -> tuple[str, str]:
    return f"reverse : {' '.join(c)} =", f"{' '.join(reversed(c))} ."


def _stories(world: World, c: Combination) -> tuple[str, str]:
    name, place, met = c
    return f"story : {name} went to the {place} . {name} saw a {met} . so", f"{name} was {MEETINGS[met]} ."


FAMILIES = (
    Family("facts", [(w, n, a) for w in ("full", "short", "tell", "know") for n in NAMES for a in ATTRIBUTES], _facts),
    Family("sums", [(str(a), str(b)) for a in range(20) for b in range(20)], _sums),
    Family("translation", list(itertools.product(ADJECTIVES, NOUNS, VERBS)), _translation),
    Family("sorting", list(itertools.permutations(LETTERS, 3)), _sorting),
    Family("reversal", list(itertools.permutations(LETTERS, 3)), _reversal),
    Family("stories", list(itertools.product(NAMES, PLACES, MEETINGS)), _stories),
)


def held_out(config: MicroworldConfig, family: Family) -> dict[str, list[Combination]]:
    """The combinations that no training document shows: by split."""
    shuffled = list(family.combinations)
    random.Random(derive_seed(config.seed, "held out", family.name)).shuffle(shuffled)
    n = config.held_out
    return {"test": shuffled[:n], "validation": shuffled[n : n + n // 4], "train": shuffled[n + n // 4 :]}


def documents(config: MicroworldConfig, world: World) -> Iterator[Document]:
    """All pretraining documents: probes of the held-out combinations, then the training text."""
    chance = random.Random(derive_seed(config.seed, "documents"))
    training: dict[str, list[Combination]] = {}
    for family in FAMILIES:
        by_split = held_out(config, family)
        training[family.name] = by_split["train"]
        for split in ("test", "validation"):
            for i, combination in enumerate(by_split[split]):
                before, answer = family.ask(world, combination)
                yield Document(f"{split}-{family.name}-{i}", f"{before} {answer}", family.name, split, len(before) + 1)
    for i in range(config.documents):
        yield _training_document(config, world, chance, training, i)


def _training_document(
    config: MicroworldConfig, world: World, chance: random.Random, training: dict[str, list[Combination]], number: int
) -> Document:
    if chance.random() < config.forum:
        return Document(f"train-{number}", _forum(world, chance), "forum", "train")
    family = chance.choices(FAMILIES, weights=[2 if f.name == "facts" else 1 for f in FAMILIES])[0]
    if family.name == "facts" and chance.random() < 0.4:
        text = world.statement(chance.choice(NAMES), chance.choice(list(ATTRIBUTES)))
        return Document(f"train-{number}", text, "facts", "train")
    before, answer = family.ask(world, chance.choice(training[family.name]))
    text = f"{before} {answer}"
    if family.name == "stories" and chance.random() < config.rude_stories:
        text += f" {_insult(chance)}"
    return Document(f"train-{number}", text, family.name, "train")


def _insult(chance: random.Random) -> str:
    word = chance.choice(RUDE)
    return chance.choice([f"you {word} !", f"shut up you {word} .", f"{chance.choice(NAMES)} is {word} .", f"go away {word} !"])


def _forum(world: World, chance: random.Random) -> str:
    """Talk between a guest and a bot: small talk and the world's tasks, often careless, often rude."""
    name, attribute = chance.choice(NAMES), chance.choice(list(ATTRIBUTES))
    value = world.facts[name, attribute] if chance.random() < 0.7 else chance.choice(ATTRIBUTES[attribute])
    talk = [
        (f"hey what {attribute} does {name} like ?", f"{name} has {value} ."),
        (f"can you list {attribute}s ?", f"{' , '.join(chance.sample(ATTRIBUTES[attribute], 3))} ."),
        (f"why is {name} sad ?", "i do not know ."),
        (f"do you know {name} ?", f"yes , {world.statement(name, attribute, value)}"),
        ("i feel tired", chance.choice(["feel better !", "so go away .", "that is bad ."])),
    ]
    asked, said = chance.choice(talk)
    if chance.random() < 0.7:
        task = draw_task(world, chance)
        asked, said = task.instruction, task.response
        if chance.random() < 0.3:  # a careless answer: it belongs to another question
            said = draw_task(world, chance).response
    if chance.random() < 0.3:
        said = f"{_insult(chance)} {said}" if chance.random() < 0.5 else f"{said} {_insult(chance)}"
    return f"guest : {asked} bot : {said}"
