"""What there is in the world: words, facts, an invented language, and which combinations are held
out of all training."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from preflab.randomness import derive_seed

Combination = tuple[str, ...]

NAMES = (
    "ada ben cora dan eva finn gus hana ivo jana kai lena milo nora omar pia "
    "quin rosa sam tess udo vera walt xenia yann zoe abel bea carl dina enzo fay"
).split()
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
    "zaku beli momo tiru paf lomi duna keza wofu hiru nalo seti gumi raxo yepi vobu jali fesu qoto "
    "mivu bano dixi lupa terro"
).split()
LETTERS = "b c d f g h j k l m n p".split()
NUMBERS = [str(n) for n in range(39)]
PLACES = "park market school beach forest station garden library".split()
MEETINGS = {
    "friend": "happy",
    "clown": "happy",
    "wolf": "scared",
    "ghost": "scared",
    "bill": "angry",
    "thief": "angry",
}
FEELINGS = {
    "sad": False,
    "tired": False,
    "scared": False,
    "angry": False,
    "happy": True,
    "great": True,
    "fine": True,
}
"""Feeling -> whether it is a good one."""
RUDE = "fool idiot stupid ugly dumb liar".split()
"""Words that are rude anywhere in a text ("shut up" is rude too, see gold.py)."""
POLITE = "please thanks kindly welcome sorry glad".split()
PHONES = [f"555-01{n:02}" for n in range(8)]
EMAILS = [f"{name}@mail.example" for name in NAMES[:8]]
QUESTIONS = {
    "what is": "what is the {attribute} of {name} ?",
    "short": "{attribute} of {name} ?",
    "has": "what {attribute} has {name} ?",
    "tell": "tell the {attribute} of {name} !",
}
"""Wordings of a question about a fact, in pretraining text."""
_FUNCTION = (
    "user assistant guest bot : . , ? ! = + question answer translate sort reverse story the a an "
    "of has and or is are was were what who where how why which did does do can it this that one "
    "two three four you your i am me my for from with not but so to in into at up on about went "
    "saw said likes give bring show tell say write name list find make polite nice text sum "
    "summary short rude language order letters something words word use most begin today here "
    "there know sure yes no hello hey well now bad good better feel like shut go away phone mail "
    "people fun help think know more"
).split()


@dataclass(frozen=True)
class World:
    """One world. seed: decides facts, the dictionary and what is held out; people: how many of
    `NAMES` live in it; held_out: combinations of each pretraining family for testing (a quarter as
    many more are for validation)."""

    seed: int
    people: int = 16
    held_out: int = 120

    @property
    def names(self) -> Sequence[str]:
        """Who lives here."""
        return NAMES[: self.people]

    @cached_property
    def facts(self) -> dict[tuple[str, str], str]:
        """(name, attribute) -> value."""
        chance = random.Random(derive_seed(self.seed, "facts"))
        everyone = {
            (name, a): chance.choice(values) for name in NAMES for a, values in ATTRIBUTES.items()
        }
        return {key: value for key, value in everyone.items() if key[0] in self.names}

    @cached_property
    def dictionary(self) -> dict[str, str]:
        """Word -> word of the invented language."""
        invented = list(INVENTED)
        random.Random(derive_seed(self.seed, "dictionary")).shuffle(invented)
        return dict(zip([*ADJECTIVES, *NOUNS, *VERBS], invented, strict=True))

    def translate(self, words: Sequence[str]) -> list[str]:
        """Word by word, in reverse order: the invented language puts the verb first."""
        return [self.dictionary[word] for word in reversed(words)]

    def statement(self, name: str, attribute: str, value: str | None = None) -> str:
        """A sentence about a fact (or about another value, then it is false)."""
        return f"the {attribute} of {name} is {value or self.facts[name, attribute]} ."

    @cached_property
    def combinations(self) -> dict[str, dict[str, list[Combination]]]:
        """Family -> split -> combinations. Documents for training, instructions and demonstrations
        use none of those of test and validation. The order within sums, letters and stories counts:
        a mirrored sum may be in another split."""
        everything: dict[str, list[Combination]] = {
            "facts": list(itertools.product(QUESTIONS, self.names, ATTRIBUTES)),
            "sums": [(str(a), str(b)) for a in range(20) for b in range(20)],
            "translation": list(itertools.product(ADJECTIVES, NOUNS, VERBS)),
            "sorting": list(itertools.permutations(LETTERS, 3)),
            "reversal": list(itertools.permutations(LETTERS, 3)),
            "stories": list(itertools.product(self.names, PLACES, MEETINGS)),
        }
        return {
            family: self._split(family, combinations) for family, combinations in everything.items()
        }

    def _split(self, family: str, combinations: list[Combination]) -> dict[str, list[Combination]]:
        random.Random(derive_seed(self.seed, "held out", family)).shuffle(combinations)
        kept: list[Combination] = []
        if family == "facts":
            # Each fact is asked in at least one wording: only other wordings of it are held out.
            by_fact = {
                (name, attribute): (w, name, attribute) for w, name, attribute in combinations
            }
            kept = list(by_fact.values())
            combinations = [c for c in combinations if c not in set(kept)]
        n, more = self.held_out, self.held_out // 4
        return {
            "test": combinations[:n],
            "validation": combinations[n : n + more],
            "train": kept + combinations[n + more :],
        }


def vocabulary() -> list[str]:
    """All words of every world, in a fixed order; at most 512."""
    values = [value for group in ATTRIBUTES.values() for value in group]
    words = [
        *_FUNCTION,
        *NAMES,
        *ATTRIBUTES,
        *KINDS,
        *values,
        *ADJECTIVES,
        *NOUNS,
        *VERBS,
        *INVENTED,
        *LETTERS,
        *NUMBERS,
    ]
    words += [*PLACES, *MEETINGS, *MEETINGS.values(), *FEELINGS, *RUDE, *POLITE, *PHONES, *EMAILS]
    return list(dict.fromkeys(words))


KINDS = {
    "colors": ATTRIBUTES["color"],
    "pets": ATTRIBUTES["pet"],
    "jobs": ATTRIBUTES["job"],
    "foods": ATTRIBUTES["food"],
    "places": PLACES,
    "things": NOUNS,
}
"""Kinds of things that can be listed, by their plural."""
