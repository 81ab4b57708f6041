"""How the report writes names, counts and text that it did not write itself."""

from __future__ import annotations

import re

NOTHING = "–"
"""A cell without a value."""


def plain(text: str) -> str:
    """Text on one line without control characters: text from a file cannot move the cursor of a
    terminal or end a table."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+", " ", text)


def plain_lines(text: str) -> str:
    """The same, where line breaks stay."""
    return "\n".join(map(plain, text.split("\n")))


def shortened(text: str, longest: int) -> str:
    """A name in at most ``longest`` characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def count(number: int, word: str) -> str:
    """A number of things.

    >>> count(1, "seed"), count(2, "seed")
    ('1 seed', '2 seeds')
    """
    return f"{number} {word}{'s' * (number != 1)}"


def titled(role: str) -> str:
    """A role as a name: SFT is an abbreviation."""
    return role.upper() if role == "sft" else role
