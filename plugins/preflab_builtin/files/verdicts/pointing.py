"""What a value says about the answers of its row: which of them it points to, or that none is
better."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from preflab_builtin.files.names import parts_of
from preflab_builtin.files.values import blank
from preflab_builtin.files.verdicts.sides import ANSWERS, SERIES

_TIES = {"tie", "tied", "ties", "draw", "equal", "equally", "same", "neither", "both", "bothbad"}
_TIES |= {"bothgood", "tiebothbad"}
_TIE_PHRASES = {"no preference", "none is better"}
_FILLERS = ANSWERS | {
    *("model", "system", "chatbot", "bot", "is", "the", "was", "better", "best", "wins", "win"),
    *("won", "winner", "preferred", "chosen", "much", "slightly", "significantly", "clearly"),
    "more",
}
"""Words of a value that say nothing about which answer it means."""
_BESIDE_TIES = {"a", "good", "bad", "are", "about", "it", "s"}


@dataclass(frozen=True)
class Pointer:
    """What the values of a file may be called. names: of the answers, in their order; empty for
    answers of a list. ordered: their names number them, or a list does, so that first and second,
    left and right, a and b can be meant. meanings: values that the config explains (spelled as by
    `spelled`) and the number of the answer that each means, -1 for a tie."""

    names: tuple[str, ...] = ()
    ordered: bool = False
    meanings: Mapping[str, int] | None = None

    @cached_property
    def _words(self) -> dict[str, int]:
        """The answer that a word or a name means."""
        found: dict[str, int] = {}
        if self.ordered:
            for series in (s for s in SERIES if not s[0].isdigit()):
                if series[0] != "left" or len(self.names) == 2 or not self.names:
                    found |= {word: i for i, word in enumerate(series[: len(self.names) or None])}
        parts = [parts_of(name) for name in self.names]
        for i, name in enumerate(self.names):
            others = {word for j, other in enumerate(parts) if j != i for word in other}
            own = [word for word in parts[i] if word not in others]
            if own and not all(word.isdigit() for word in own):
                found["".join(own)] = i
            found |= {"".join(parts[i]): i, name.lower(): i}
        return found

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The answer that a number means, where their names are numbered."""
        parts = [parts_of(name) for name in self.names]
        found: dict[str, int] = {}
        for i, part in enumerate(parts):
            own = [w for w in part if all(w not in p for j, p in enumerate(parts) if j != i)]
            if len(own) == 1 and own[0].isdigit():
                found[own[0]] = i
        return found if len(found) == len(self.names) else {}

    def told(self, value: Any) -> int | None:
        """What the config says that a value means."""
        return (self.meanings or {}).get(spelled(value))

    def of(self, value: Any, texts: Sequence[Any], companions: Sequence[Sequence[Any]]) -> int:
        """The number of the answer that a value points to, -1 for a tie, `NOTHING` for any other.
        texts: the answers. companions: other values of the answers, such as names of models."""
        told = self.told(value)
        if told is not None:
            return told if told < len(texts) else NOTHING
        if not isinstance(value, str):
            return NOTHING
        said = {self._by_word(value, len(texts)), *_equal(value, texts)}
        for others in companions:
            said.update(_equal(value, others))
        said.discard(NOTHING)
        return said.pop() if len(said) == 1 else NOTHING

    def _by_word(self, value: str, count: int) -> int:
        lower = value.strip().lower()
        if len(lower) > _LONGEST:
            return NOTHING
        if (compared := _COMPARISON.fullmatch(lower)) is not None:
            return self._by_comparison(compared[1], compared[2], compared[3], count)
        found = self._words.get(lower)
        if found is None and _DOUBTFUL.fullmatch(lower):
            return NOTHING
        if found is None:
            words = parts_of(lower)
            found = self._words.get("".join(words))
            if found is None and lower in _TIE_PHRASES:
                return -1
            telling = [word for word in words if word not in _FILLERS]
            ties = _TIES.intersection(telling)
            tied = ties and telling[-1] != "a" and not set(telling) - _TIES - _BESIDE_TIES
            if found is None and tied:
                return -1
            if found is None and len(set(telling)) == 1:
                found = self._words.get(telling[0])
        return NOTHING if found is None or found >= count else found

    def _by_comparison(self, left: str, sign: str, right: str, count: int) -> int:
        """What "A>B", "[[A>>B]]", "A<B" and "A=B" say of two answers."""
        sides = [self.numbers.get(one.strip(), self._by_word(one, count)) for one in (left, right)]
        if count != 2 or set(sides) != {0, 1}:
            return NOTHING
        if "=" in sign:
            return -1
        return sides[0] if ">" in sign else sides[1]


NOTHING = -2
"""A value that points to no answer."""
_LONGEST = 60
"""Characters of a value that is a name."""
_COMPARISON = re.compile(r"(?:\[\[)?([^<>=\[\]]+)(>{1,3}|<{1,3}|={1,2})([^<>=\[\]]+)(?:\]\])?")
_DOUBTFUL = re.compile(r"[!~¬≠-]\s*\w.*|.*\w\s*[?+-]|.*\b(second|third)[ _-]?best\b.*")
"""What looks like the name of an answer and may be its opposite: "!A", "A-", "second best"."""
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?")


def _equal(value: str, texts: Collection[Any]) -> list[int]:
    """The number of the only text that equals the value."""
    wanted = value.strip()
    found = [i for i, text in enumerate(texts) if isinstance(text, str) and text.strip() == wanted]
    return found if len(found) == 1 and wanted else []


def number(value: Any) -> float | None:
    """The number that a value is or spells; None for another value, true and false among them."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    usable = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if usable and not blank(value) else None


def spelled(value: Any) -> str:
    """A value as a config writes it: in lower case, whole numbers without a point.

    >>> spelled(1.0), spelled(True), spelled(" Left ")
    ('1', 'true', 'left')
    """
    found = number(value)
    if found is not None:
        return str(int(found)) if found.is_integer() else f"{found:g}"
    return str(value).strip().lower()
