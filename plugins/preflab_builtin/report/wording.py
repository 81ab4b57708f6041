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


def scaled(number: float) -> str:
    """A large number in three digits and a prefix.

    >>> scaled(0), scaled(950), scaled(12_345_678), scaled(3.456e15)
    ('', '950', '12.3 M', '3.46 P')
    """
    sizes = ((1e18, " E"), (1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))
    for size, prefix in (*sizes, (1, "")):
        if number >= size:
            return f"{number / size:.3g}{prefix}"
    return ""


def short(number: float, sign: str = "") -> str:
    """A number of any size: three decimals, from a million on a prefix. sign: "+" writes it for
    positive numbers too.

    >>> short(0.25), short(-12_345_678), short(3.456e15, "+"), short(0.25, "+")
    ('0.250', '-12.3 M', '+3.46 P', '+0.250')
    """
    if not abs(number) >= 1e6:
        return f"{number:{sign}.3f}"
    return ("-" if number < 0 else sign) + scaled(abs(number))
