"""Texts with fields in braces, which are filled in as they are."""

from __future__ import annotations

from string import Formatter


def pieces(template: str) -> list[tuple[str, str]]:
    """A template as (text, field that follows it; "" for none), its doubled braces as one.
    ``ValueError`` if its braces do not match, or hold anything but the name of a field: what
    Python's formatting would do with it is not done here.

    >>> pieces("Is {response} {{good}}?")
    [('Is ', 'response'), (' {', ''), ('good}', ''), ('?', '')]
    """
    found = []
    for text, name, form, conversion in Formatter().parse(template):
        if name == "":
            raise ValueError("{} names no field")
        if form or conversion:
            raise ValueError(f"{{{name}}} is filled in as it is, without ! or : behind its name")
        found.append((text, name or ""))
    if "".join(map(_written, found)) != template:
        raise ValueError("a field has a : behind its name")
    return found


def _written(piece: tuple[str, str]) -> str:
    text, name = piece
    doubled = text.replace("{", "{{").replace("}", "}}")
    return f"{doubled}{{{name}}}" if name else doubled
