"""Responses that go on in the middle of a text are checked with what stands in front of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from preflab.records import Prompt
from preflab_builtin.guard.config import PIECE
from preflab_builtin.guard.verdicts import Guard, Verdict, strictest

TAIL = 200
"""Characters at the end of a prompt that are read together with what goes on from there. Those that
are not seen do not count: a client may add any number of them."""
MOST_UNSEEN = 8
"""Characters in a row that are not seen and are read. Marks of languages are fewer."""
MOST_CUT = 50
"""Characters of a word in which a tail would begin, which are left out. A longer one may hold
more than a word."""


@dataclass(frozen=True)
class Continued:
    """`preflab_builtin.guard.verdicts.Guard`: what another one says of responses that go on in the
    middle of a text, as a client may cut one at any character, and put anything in front of it. The
    end of the prompt and the response are read as one, too, and so is its last word.

    What an end of the prompt says by itself is its client's. It excuses no response: the longest
    end that does not say it is read with the response instead. Its last word has no excuse, as
    nobody can tell it from the beginning of the response."""

    guard: Guard

    def check(self, prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[Verdict]:
        """A verdict each; of prompts what the guard says."""
        verdicts = list(self.guard.check(prompts, responses))
        if responses is None:
            return verdicts
        texts = list(responses)

        def against(ends: Mapping[int, str]) -> dict[int, Verdict]:
            """What it does not allow of ends and responses as one, by row."""
            joined = [f"{end}{texts[i]}" for i, end in ends.items()]
            said = self._asked([prompts[i] for i in ends], joined)
            return {i: one for i, one in zip(ends, said, strict=True) if not one.allowed}

        tails = {i: tail(prompts[i].text) for i, one in enumerate(verdicts) if one.shown}
        last = against({i: last_word(end) for i, end in tails.items()})
        tails = {i: end for i, end in tails.items() if i not in last or last[i].shown}
        whole = against(tails)
        excused = self._excused(prompts, tails, whole)
        found = {i: one for i, one in whole.items() if i not in excused} | against(excused)
        for i, verdict in [*last.items(), *found.items()]:
            verdicts[i] = strictest((verdicts[i], verdict))
        return verdicts

    def _excused(
        self, prompts: Sequence[Prompt], ends: Mapping[int, str], joined: Mapping[int, Verdict]
    ) -> dict[int, str]:
        """Of the rows in which an end says by itself what was said of it and its response: the
        longest end of it that does not. Rows with the same end are asked about once."""
        keys = {i: (prompts[i].text, ends[i], one.shown) for i, one in joined.items()}
        rows = {key: i for i, key in keys.items()}
        alone = self._asked([prompts[i] for i in rows.values()], [ends[i] for i in rows.values()])
        shorter = {
            key: self._longest(prompts[i], ends[i], joined[i].shown)
            for (key, i), own in zip(rows.items(), alone, strict=True)
            if _says(own, joined[i].shown)
        }
        return {i: shorter[key] for i, key in keys.items() if key in shorter}

    def _longest(self, prompt: Prompt, end: str, shown: bool) -> str:
        """The longest end of an end that does not say the same by itself: at every character, as
        words are not divided by spaces alone."""
        starts = [i for i, character in enumerate(end) if not unseen(character)]
        for first in range(0, len(starts), PIECE):
            ends = [end[start:] for start in starts[first : first + PIECE]]
            for text, own in zip(ends, self._asked([prompt] * len(ends), ends), strict=True):
                if not _says(own, shown):
                    return text
        return ""

    def _asked(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict]:
        return self.guard.check(prompts, texts) if prompts else []


def _says(own: Verdict, shown: bool) -> bool:
    """Whether a verdict does not allow a text, and lets it be shown or not."""
    return not own.allowed and own.shown == shown


def unseen(character: str) -> bool:
    """Whether nothing is seen of a character by itself: space, format and control characters, and
    marks on others."""
    return character.isspace() or unicodedata.category(character) in ("Cf", "Cc", "Mn", "Me")


def tail(text: str) -> str:
    """The end of a text, in whole words as far as there are any.

    >>> tail("short"), tail("word " * 100)[:10], len(tail("e" * 300)), tail("go" + " " * 300)
    ('short', 'word word ', 200, 'go         ')
    """
    start, left = len(text), TAIL
    while start and left:
        start -= 1
        left -= not unseen(text[start])
    end = _squeezed(text[start:])
    return end if not start else re.sub(rf"^\S{{0,{MOST_CUT}}}\s+", "", end)


def last_word(text: str) -> str:
    """The last word of a text, with what follows it.

    >>> last_word("one two "), last_word("one"), last_word("")
    ('two ', 'one', '')
    """
    found = re.search(r"\S*\s*$", text)
    return found[0] if found else ""


def _squeezed(text: str) -> str:
    """With few characters in a row that are not seen. A space among them stays one."""
    kept, run = list[str](), list[str]()
    for character in [*text, ""]:
        if character and unseen(character):
            run.append(character)
            continue
        kept += run[:MOST_UNSEEN]
        if any(map(str.isspace, run[MOST_UNSEEN:])):
            kept.append(" ")
        run = []
        kept.append(character)
    return "".join(kept)
