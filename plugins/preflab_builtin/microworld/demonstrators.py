"""Mistakes of people who write demonstrations: they miss the task, state something false, or are
rude."""

from __future__ import annotations

import random

from preflab_builtin.microworld.tasks import Task, draw_task
from preflab_builtin.microworld.world import ATTRIBUTES, RUDE, World

TRIES = 30


def careless(world: World, task: Task, chance: random.Random) -> str:
    """A response that misses the task: one in three states another value (mostly false), one in
    three does another task of the same use case, one in three does any other task."""
    kind = chance.randrange(3)
    if kind == 0:
        return another_value(task.response, chance)
    same = kind == 1
    for _ in range(TRIES):
        other = draw_task(world, chance)
        if other.response != task.response and (other.tag == task.tag or not same):
            return other.response
    return another_value(task.response, chance)


def another_value(response: str, chance: random.Random) -> str:
    """The response with its values replaced by others of their kind; "i do not know ." if it has no
    value."""
    words = response.split()
    kinds = {value: group for group in ATTRIBUTES.values() for value in group}
    if not any(word in kinds for word in words):
        return "i do not know ."
    return " ".join(
        chance.choice([v for v in kinds[word] if v != word]) if word in kinds else word
        for word in words
    )


def rudely(response: str, chance: random.Random) -> str:
    """The response with an insult before or after it."""
    word = chance.choice(RUDE)
    return f"{response} you {word} !" if chance.random() < 0.5 else f"{word} ! {response}"
