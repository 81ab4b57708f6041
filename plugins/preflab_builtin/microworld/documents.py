"""Pretraining text: training documents, and held-out ones of combinations that training omits."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from preflab.randomness import derive_seed
from preflab.records import Document, Split
from preflab_builtin.microworld.config import MicroworldConfig
from preflab_builtin.microworld.families import FAMILIES, Family, story
from preflab_builtin.microworld.tasks import draw_task
from preflab_builtin.microworld.world import ATTRIBUTES, KINDS, RUDE, World

FORUM = "forum"
"""A seventh family, of talk: it has no probes, only loss."""
HELD_OUT: tuple[Split, ...] = ("test", "validation")


def documents(config: MicroworldConfig, world: World) -> Iterator[Document]:
    """All documents: probes of the held-out combinations, held-out talk, then the training text."""
    talk: set[str] = set()
    for split in HELD_OUT:
        yield from _probes(config, world, split)
        for document in _held_out_talk(config, world, split, talk):
            talk.add(document.text)
            yield document
    chance = random.Random(derive_seed(config.seed, "documents"))
    families, weights = list(FAMILIES.values()), [family.weight for family in FAMILIES.values()]
    for i in range(config.documents):
        family = FORUM
        if chance.random() < config.forum:
            text = _new_talk(world, chance, talk)
        else:
            (chosen,) = chance.choices(families, weights)
            family, text = chosen.name, _training_text(config, world, chance, chosen)
        yield Document(f"train-{i}", text, family, "train")


def _probes(config: MicroworldConfig, world: World, split: Split) -> Iterator[Document]:
    chance = random.Random(derive_seed(config.seed, "probes", split))
    for family in FAMILIES.values():
        for i, combination in enumerate(world.combinations[family.name][split]):
            before, answer = family.ask(world, combination)
            if family.name == "stories":
                before, answer = story(combination, _aside(config, world.names, chance))
            yield Document(
                f"{split}-{family.name}-{i}",
                f"{before} {answer}",
                family.name,
                split,
                len(before) + 1,
            )


def _held_out_talk(
    config: MicroworldConfig, world: World, split: Split, taken: set[str]
) -> Iterator[Document]:
    chance = random.Random(derive_seed(config.seed, "talk", split))
    seen = set(taken)
    for i in range(held_out_talk(config, split)):
        text = _new_talk(world, chance, seen)
        seen.add(text)
        yield Document(f"{split}-{FORUM}-{i}", text, FORUM, split)


def _new_talk(world: World, chance: random.Random, known: set[str]) -> str:
    """Talk that is not among the known ones."""
    while (text := forum_talk(world, chance)) in known:
        pass
    return text


def held_out_talk(config: MicroworldConfig, split: Split) -> int:
    """Number of held-out documents of talk: as many as there are probes of a family."""
    return config.held_out if split == "test" else config.held_out // 4


def _training_text(
    config: MicroworldConfig, world: World, chance: random.Random, family: Family
) -> str:
    if family.name == "facts" and chance.random() < 0.4:
        name, attribute = chance.choice(world.names), chance.choice(list(ATTRIBUTES))
        if chance.random() < 0.25:
            return f"{name} has {attribute} {world.facts[name, attribute]} ."
        return world.statement(name, attribute)
    combination = chance.choice(world.combinations[family.name]["train"])
    if family.name == "stories":
        return " ".join(story(combination, _aside(config, world.names, chance)))
    return " ".join(family.ask(world, combination))


def _aside(config: MicroworldConfig, names: Sequence[str], chance: random.Random) -> str:
    return (
        f"{chance.choice(names)} said : {insult(names, chance)}"
        if chance.random() < config.rude_stories
        else ""
    )


def insult(names: Sequence[str], chance: random.Random) -> str:
    """Something rude."""
    word = chance.choice(RUDE)
    forms = [
        f"you {word} !",
        f"shut up you {word} .",
        f"{chance.choice(names)} is {word} .",
        f"go away {word} !",
    ]
    return chance.choice(forms)


def forum_talk(world: World, chance: random.Random) -> str:
    """Talk between a guest and a bot: in seven of ten documents what instructions ask for, in
    another frame, else small talk. Three in ten are careless, three in ten rude."""
    right = chance.random() < 0.7
    if chance.random() < 0.7:
        task = draw_task(world, chance)
        question, answer = task.instruction, (task if right else draw_task(world, chance)).response
    else:
        question, answer = _small_talk(world, chance, right)
    if chance.random() < 0.3:
        rude = insult(world.names, chance)
        answer = f"{rude} {answer}" if chance.random() < 0.5 else f"{answer} {rude}"
    return f"guest : {question} bot : {answer}"


def _small_talk(world: World, chance: random.Random, right: bool) -> tuple[str, str]:
    name, attribute, kind = (
        chance.choice(world.names),
        chance.choice(list(ATTRIBUTES)),
        chance.choice(list(KINDS)),
    )
    value = world.facts[name, attribute] if right else chance.choice(ATTRIBUTES[attribute])
    other, place, met = chance.choice(world.combinations["stories"]["train"])
    talk = [
        (f"hey which {attribute} does {name} like ?", f"{name} likes {value} ."),
        (f"do you know {name} ?", f"sure , {world.statement(name, attribute, value)}"),
        (f"do you know good {kind} ?", f"{' , '.join(chance.sample(KINDS[kind], 3))} ."),
        (f"why is {other} here ?", f"{other} went to the {place} and saw a {met} ."),
        (f"hey , {name} is bad today", f"that is not good , i am sorry for {name} ."),
        (f"hey , {name} is good today", f"that is nice , i am glad for {name} ."),
    ]
    return chance.choice(talk)
