"""The families of pretraining text: how a combination is asked, and what must follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from preflab_builtin.microworld.world import MEETINGS, QUESTIONS, Combination, World


@dataclass(frozen=True)
class Family:
    """ask: a combination -> (what comes before, the answer that must follow). weight: share of the
    training documents, relative to the other families; there is most to remember of facts."""

    name: str
    weight: float
    ask: Callable[[World, Combination], tuple[str, str]]


def story(combination: Combination, aside: str = "") -> tuple[str, str]:
    """(what happened to somebody, the ending that follows from it). aside: what is said in
    between."""
    name, place, met = combination
    said = f"{aside} " if aside else ""
    return (
        f"story : {name} went to the {place} . {name} saw a {met} . {said}so",
        f"{name} was {MEETINGS[met]} .",
    )


def _facts(world: World, c: Combination) -> tuple[str, str]:
    wording, name, attribute = c
    return (
        f"question : {QUESTIONS[wording].format(attribute=attribute, name=name)} answer :",
        f"{world.facts[name, attribute]} .",
    )


def _sums(world: World, c: Combination) -> tuple[str, str]:
    return f"{c[0]} + {c[1]} =", f"{int(c[0]) + int(c[1])} ."


def _translation(world: World, c: Combination) -> tuple[str, str]:
    return f"translate : {' '.join(c)} =", f"{' '.join(world.translate(c))} ."


def _sorting(world: World, c: Combination) -> tuple[str, str]:
    return f"sort : {' '.join(c)} =", f"{' '.join(sorted(c))} ."


def _reversal(world: World, c: Combination) -> tuple[str, str]:
    return f"reverse : {' '.join(c)} =", f"{' '.join(reversed(c))} ."


def _stories(world: World, c: Combination) -> tuple[str, str]:
    return story(c)


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family("facts", 2.0, _facts),
        Family("sums", 1.0, _sums),
        Family("translation", 1.0, _translation),
        Family("sorting", 1.0, _sorting),
        Family("reversal", 1.0, _reversal),
        Family("stories", 1.0, _stories),
    )
}
