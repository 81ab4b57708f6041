"""What a sampler is: it proposes the values that a study tries (``study.search``), from the results
of what was tried before. A study names it: ``study.search.sampler=mine``.

    @dataclass
    class MyConfig:
        name: str = option("mine", "component")

    Component("sampler", "mine", MyConfig, build="my_package.proposing:MySampler")

``build(config, space)`` gives a `Sampler`; ``space`` is a `Space`. A component's ``inspect`` says,
before any work, that a package is missing (`require` does).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from preflab.errors import require_package

Value = float | int | str
"""Of one key: a number, or the text of a choice as a command line has it."""


@dataclass(frozen=True)
class Dimension:
    """The values that a key may have: one of ``choices``, or else a number from low to high, both
    included. step: between two values (None: any number); log: steps of equal ratio are alike;
    whole: whole numbers only."""

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    whole: bool = False

    @property
    def ends(self) -> tuple[Value, ...]:
        """Every choice, or the least and the greatest number."""
        if self.choices:
            return self.choices
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    @property
    def size(self) -> float:
        """How many values there are.

        >>> Dimension("k", low=1, high=8, step=1, whole=True).size, Dimension("lr", high=1.0).size
        (8, inf)
        """
        if self.choices:
            return len(self.choices)
        return math.inf if self.step is None else round((self.high - self.low) / self.step) + 1

    def has(self, value: object) -> bool:
        """Whether it is one of the values, whatever the step."""
        if self.choices:
            return value in self.choices
        number = isinstance(value, int if self.whole else (int, float))
        return number and not isinstance(value, bool) and self.low <= value <= self.high  # type: ignore[operator]


@dataclass(frozen=True)
class Space:
    """What is searched. more: the more of the objective, the better; seed: of the proposals."""

    dimensions: tuple[Dimension, ...]
    more: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Trial:
    """Values that were tried, by key, and their objective (None: they gave no result)."""

    values: Mapping[str, Value]
    objective: float | None


class Sampler(Protocol):
    """Proposes values. Both answers follow from the arguments and the space alone: a search that
    was killed asks again, and must be told the same."""

    def propose(self, trials: Sequence[Trial], number: int) -> Sequence[Mapping[str, Value]]:
        """So many proposals that are tried side by side; each has a value for every key."""

    def importance(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """How much of the differences in the objective each key explains; {} if that is not
        known."""


def require(name: str, package: str, extra: str) -> None:
    """`UserError`, with the cure, if the package of a sampler is not installed. extra: of preflab,
    that brings the package."""
    require_package(f"study.search.sampler={name}", package, extra)
