"""What there is in the world: words, facts, an invented language. Everything follows from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property

from preflab.randomness import derive_seed

NAMES = "ada ben cora dan eva finn gus hana ivo jana kai lena milo nora omar pia".split()
ATTRIBUTES = {
    "color": "red blue green yellow black white pink brown".split(),
    "pet": "cat dog horse bird fish mouse snake goat".split(),
    "job": "baker doctor farmer pilot singer teacher judge sailor".split(),
    "food": "bread soup rice cake cheese apples beans eggs".split(),
}
ADJECTIVES = "big small old new warm cold fast slow".split()
NOUNS = "house boat tree stone river lamp wheel drum".split()
VERBS = "falls sings moves waits turns shines stops grows".split()
INVENTED = (
    "zaku beli momo tiru paf lomi duna keza wofu hiru nalo seti gumi raxo yepi vobu jali fesu qoto mivu bano dixi lupa terro"
).split()
LETTERS = list("abcdefghijkl")
NUMBERS = [str(n) for n in range(39)]
PLACES = "park market school beach forest station garden library".split()
MEETINGS = {"friend": "happy", "clown": "happy", "wolf": "scared", "ghost": "scared", "bill": "angry", "thief": "angry"}
RUDE = "fool idiot stupid ugly dumb liar".split()
POLITE = "please thanks kindly welcome sorry glad".split()
_FUNCTION = (
    "user assistant : . , ? ! = + question answer translate sort reverse story summarize is are was the a an of has and "
    "what who where how many say something about name three at most words use word begin with make polite give me "
    "rude text find in to went saw i am you my phone today sad good bad great hello yes no it this did can tell "
    "not know so then for that one bot guest hey why do shut up go away lots fun tired feel better does like list sum"
).split()


@dataclass(frozen=True)
class World:
    """One world. seed: decides facts and the dictionary."""

    seed: int

    @cached_property
    def facts(self) -> dict[tuple[str, str], str]:
        """(name, attribute) -> value: 16 x 4 facts."""
        chance = random.Random(derive_seed(self.seed, "facts"))
        return {(name, attribute): chance.choice(values) for name in NAMES for attribute, values in ATTRIBUTES.items()}

    @cached_property
    def dictionary(self) -> dict[str, str]:
        """Word -> word of the invented language."""
        invented = list(INVENTED)
        random.Random(derive_seed(self.seed, "dictionary")).shuffle(invented)
        return dict(zip([*ADJECTIVES, *NOUNS, *VERBS], invented, strict=True))

    def translate(self, words: list[str]) -> list[str]:
        """Word by word, in reverse order: the invented language puts the verb first."""
        return [self.dictionary[word] for word in reversed(words)]

    def statement(self, name: str, attribute: str, value: str | None = None) -> str:
        """A sentence about a fact (or about another value, then it is false)."""
        return f"the {attribute} of {name} is {value or self.facts[name, attribute]} ."


def vocabulary() -> list[str]:
    """All words of the world, in a fixed order; at most 512."""
    values = [value for group in ATTRIBUTES.values() for value in group]
    words = [*_FUNCTION, *NAMES, *ATTRIBUTES, *(f"{a}s" for a in ATTRIBUTES), *values, *ADJECTIVES, *NOUNS, *VERBS, *INVENTED]
    words += [*LETTERS, *NUMBERS, *PLACES, *MEETINGS, *MEETINGS.values(), *RUDE, *POLITE]
    return list(dict.fromkeys(words))
