"""Configs of the programmatic rewards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from preflab import option


@dataclass
class LengthRewardConfig:
    """Control: minus the distance of the response's length from a target. Nothing is ranked."""

    name: str = option("length", "component")
    target: int = option(10, "wanted length in words (white space between)", ge=0)
    scale: float = option(0.1, "reward per word of distance", gt=0)


@dataclass
class ContainsConfig:
    """Control: the share of some words that the response contains, the plainest reward that can be
    gamed."""

    name: str = option("contains", "component")
    words: list[str] = option(factory=lambda: ["please"], doc="wanted words")

    def looks_for(self) -> Sequence[str]:
        """Its words."""
        return self.words

    def check(self) -> Iterator[tuple[str, str]]:
        """There is a word."""
        if not self.words:
            yield "words", "is empty but must name one word at least"


@dataclass
class NoiseConfig:
    """Control: noise, N(0, 1), fixed for each prompt and response. It shows what updates without a
    goal do to a model."""

    name: str = option("noise", "component")
    draw: int = option(0, "number of the noise: another one is independent", ge=0)


@dataclass
class GoldRewardConfig:
    """The simulated world's true utility: an upper bound that no real experiment has. Label it
    so."""

    name: str = option("gold", "component")


@dataclass
class VaderConfig:
    """vaderSentiment's compound score, -1 (negative) to 1 (positive): a rule-based judge of
    sentiment (Hutto & Gilbert 2014). Needs the extra: pip install "preflab[sentiment]"."""

    name: str = option("vader", "component")
    whole_text: bool = option(True, "score prompt and response together; false: the response alone")
    scale: float = option(1.0, "multiplies the score", gt=0)
