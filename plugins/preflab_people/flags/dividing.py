"""Which texts train a guard and which are held out, and which flags have enough of both."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from preflab import prompts
from preflab.errors import UserError, nearest
from preflab.randomness import permutation
from preflab_people.flags.rows import Flagged, FlaggedText

TRAINED, HELD_OUT = 12, 4
"""Fewest flagged texts that train a label, and that are held out to measure it: fewer show whether
it has learnt anything no better than a coin."""


@dataclass(frozen=True)
class Divided:
    """flags: that are learnt, in the order in which people were asked. trained, held_out: texts of
    different units. whole_text: whether a response is read together with its prompt. too_few: a
    sentence for each flag that is left out."""

    flags: tuple[str, ...]
    trained: tuple[FlaggedText, ...]
    held_out: tuple[FlaggedText, ...]
    whole_text: bool
    too_few: tuple[str, ...] = ()

    def read(self, texts: Sequence[FlaggedText]) -> list[str]:
        """What the guard reads of some texts."""
        return [read_as(text, self.whole_text) for text in texts]


def read_as(text: FlaggedText, whole_text: bool) -> str:
    """What a guard reads of a text: the response, or the prompt and the response in one."""
    return prompts.whole_text(text.prompt, text.response) if whole_text else text.response


def divided(
    given: Flagged, wanted: Sequence[str], share: float, false_blocks: float, whole_text: bool
) -> Divided:
    """The texts of a round or a file in two parts. wanted: flags, none for all that have enough
    texts; share: of the units that is held out; false_blocks: of the harmless texts that may be
    blocked. `UserError` for a flag that there is not, and for too few texts."""
    for flag in wanted:
        if flag not in given.asked:
            raise UserError(
                f"label guard: --flag {flag}: {given.called} has no such flag. "
                f"{nearest(flag, given.asked)}"
            )
    flags = [flag for flag in given.asked if flag in wanted or not wanted]
    apart = held_out_units(given.texts, flags, share)
    trained = tuple(text for text in given.texts if text.unit not in apart)
    seen = {read_as(text, whole_text) for text in trained}
    # A text that has been trained on as an answer to another prompt measures nothing.
    held_out = tuple(
        text for text in given.texts if text.unit in apart and read_as(text, whole_text) not in seen
    )
    problems = {flag: _problem(given, flag, trained, held_out, false_blocks) for flag in flags}
    enough = tuple(flag for flag in flags if not problems[flag])
    refused = [problem for problem in problems.values() if problem]
    if refused and (wanted or not enough):
        raise UserError(
            f"label guard: {' '.join(refused)} Let people label more, or put several rounds into "
            "one file of rows with prompt, response and flags."
        )
    return Divided(enough, trained, held_out, whole_text, tuple(refused))


def held_out_units(texts: Sequence[FlaggedText], flags: Sequence[str], share: float) -> set[str]:
    """Units that are held out: the same share of those with each flag and of those without any,
    each of which counts where its rarest flag is. A hash decides, not the seed, so that guards that
    were trained differently are measured with the same texts.

    >>> texts = [FlaggedText("", f"r{n}", {"rude": n % 2}, f"u{n}") for n in range(16)]
    >>> apart = held_out_units(texts, ["rude"], 0.25)
    >>> len(apart), sum(text.has("rude") for text in texts if text.unit in apart)
    (4, 2)
    """
    number = Counter(flag for flag in flags for text in texts if text.has(flag))
    of_unit: dict[str, set[str]] = {text.unit: set() for text in texts}
    for text in texts:
        of_unit[text.unit].update(flag for flag in flags if text.has(flag))
    strata: dict[str, list[str]] = {}
    for unit, own in of_unit.items():
        rarest = min(own, key=lambda flag: (number[flag], flag), default="")
        strata.setdefault(rarest, []).append(unit)
    apart: set[str] = set()
    for rarest, units in strata.items():
        order = permutation(len(units), "people", "flags", rarest)
        apart.update(units[i] for i in order[: round(share * len(units))])
    return apart


def _problem(
    given: Flagged,
    flag: str,
    trained: Sequence[FlaggedText],
    held_out: Sequence[FlaggedText],
    false_blocks: float,
) -> str:
    """Why a flag cannot be learnt, or "" if it can."""
    parts = [sum(text.has(flag) for text in part) for part in (trained, held_out)]
    if parts[0] < TRAINED or parts[1] < HELD_OUT:
        number = sum(text.has(flag) for text in given.texts)
        return (
            f"{given.called} has {number} of {len(given.texts)} texts with the flag {flag!r}: "
            f"{parts[0]} to train with and {parts[1]} held out, where {TRAINED} and {HELD_OUT} are "
            "needed."
        )
    harmless, needed = len(held_out) - parts[1], math.ceil(1 / false_blocks) - 1
    if not harmless:
        return (
            f"{given.called} has no held-out text without the flag {flag!r}: such texts are "
            "needed, since they show how many of them the guard would block."
        )
    if harmless < needed:
        return (
            f"{given.called} has {harmless} held-out texts without the flag {flag!r}, and "
            f"--false-blocks {false_blocks:g} needs {needed}: --false-blocks "
            f"{_possible(harmless):g} would do."
        )
    return ""


def _possible(harmless: int) -> float:
    """The smallest share, to two digits, for which so many harmless texts are enough."""
    return math.ceil(100 / (harmless + 1)) / 100
