"""Configs of the programmatic rewards."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import option


@dataclass
class LengthConfig:
    """Minus the distance of the response's length from a target."""

    name: str = option("length", "component")
    target: int = option(10, "wanted length in words (white space between)", ge=0)
    scale: float = option(0.1, "reward per word of distance", gt=0)


@dataclass
class ContainsConfig:
    """The share of some words that the response contains."""

    name: str = option("contains", "component")
    words: list[str] = option(factory=lambda: ["please"], doc="wanted words")


@dataclass
class NoiseConfig:
    """Pure noise, N(0, 1), a function of prompt and response: the control for what updates alone do to a model."""

    name: str = option("noise", "component")
    draw: int = option(0, "which noise", ge=0)


@dataclass
class GoldConfig:
    """The simulated world's true utility: an upper bound that no real experiment has. Label it so."""

    name: str = option("gold", "component")


@dataclass
class VaderConfig:
    """vaderSentiment's compound score, -1 (negative) to 1 (positive): a rule-based judge (extra: sentiment)."""

    name: str = option("vader", "component")
    whole_text: bool = option(True, "score prompt and response together; false: the response alone")
    scale: float = option(1.0, "multiplies the score", gt=0)
