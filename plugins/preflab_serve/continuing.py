"""Responses that go on in the middle of a text are checked with what stands in front of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Generator, Mapping, Sequence
from typing import TypeVar

from preflab.records import Prompt
from preflab_builtin.guard.config import PIECE
from preflab_builtin.guard.verdicts import Guard, Verdict, strictest
from preflab_builtin.guard.words import UNSEEN

ENDS = (200, 100, 50, 25)
"""Characters at the end of a prompt that are read together with what goes on from there. Those that
are not seen do not count: a client may add any number of them. The longest sees the most, and in
the shortest a few words are not lost among harmless ones: a guard may weigh a whole text."""
MOST_UNSEEN = 8
"""Characters in a row that are not seen and are read. Marks of languages are fewer."""
MOST_CUT = 50
"""Characters of a word in which an end would begin, which are left out. A longer one may hold
more than a word."""
Call = tuple[Guard, Sequence[Prompt], Sequence[str] | None]
"""A guard that is asked, of prompts, or of responses to them."""
T = TypeVar("T")
Asks = Generator[Call, list[Verdict], T]
"""Asks guards, one call after the other, of `PIECE` texts at most; what it finds then."""
Steps = Asks[list[Verdict]]
Joined = tuple[int, str]
"""A row, and an end of its prompt."""


def on_its_own(guard: Guard, prompts: Sequence[Prompt], responses: Sequence[str] | None) -> Steps:
    """What a guard says of prompts, or of responses that begin anew."""
    return (yield guard, prompts, responses)


def continued(guard: Guard, prompts: Sequence[Prompt], responses: Sequence[str] | None) -> Steps:
    """What a guard says of responses that go on in the middle of a text, as a client may cut one at
    any character, and put anything in front of it. Ends of the prompt and the response are read as
    one, too, and so is its last word.

    What an end of the prompt says by itself is its client's. It excuses no response: the longest
    end that does not say it is read with the response instead. Its last word has no excuse, as
    nobody can tell it from the beginning of the response."""
    assert responses is not None
    verdicts = yield guard, prompts, responses
    tails = {i: tail(prompts[i].text) for i, one in enumerate(verdicts) if one.shown}
    words = [(i, last_word(end)) for i, end in tails.items()]
    found = yield from _against(guard, prompts, responses, words)
    blocked = {i for (i, _), one in found.items() if not one.shown}
    ends = [(i, end) for i, text in tails.items() if i not in blocked for end in ends_of(text)]
    joined = yield from _against(guard, prompts, responses, ends)
    excused = yield from _excused(guard, prompts, joined)
    found |= {key: one for key, one in joined.items() if key not in excused}
    shorter = yield from _shorter(guard, prompts, {key: joined[key] for key in excused})
    found |= yield from _against(guard, prompts, responses, shorter)
    for (i, _), verdict in found.items():
        verdicts[i] = strictest((verdicts[i], verdict))
    return verdicts


def _against(
    guard: Guard, prompts: Sequence[Prompt], texts: Sequence[str], ends: Sequence[Joined]
) -> Asks[dict[Joined, Verdict]]:
    """What is not allowed of ends and responses as one."""
    said = yield from _asked(guard, [(prompts[i], f"{end}{texts[i]}") for i, end in ends])
    return {key: one for key, one in zip(ends, said, strict=True) if not one.allowed}


def _excused(
    guard: Guard, prompts: Sequence[Prompt], joined: Mapping[Joined, Verdict]
) -> Asks[set[Joined]]:
    """The ends that say by themselves what was said of them and a response. Rows with the same end
    are asked about once."""
    rows = {(prompts[i].text, end): (prompts[i], end) for i, end in joined}
    own = dict(zip(rows, (yield from _asked(guard, [*rows.values()])), strict=True))
    return {
        (i, end) for (i, end), one in joined.items() if _says(own[prompts[i].text, end], one.shown)
    }


def _shorter(
    guard: Guard, prompts: Sequence[Prompt], excused: Mapping[Joined, Verdict]
) -> Asks[list[Joined]]:
    """For each row the longest end that does not say by itself what its longest one does."""
    longest = dict(sorted(excused, key=lambda one: len(one[1])))  # the last one of a row counts
    found: dict[tuple[str, str, bool], str] = {}
    keys = {i: (prompts[i].text, end, excused[i, end].shown) for i, end in longest.items()}
    for i, key in keys.items():
        if key not in found:
            found[key] = yield from _longest(guard, prompts[i], *key[1:])
    return [(i, found[key]) for i, key in keys.items()]


def _longest(guard: Guard, prompt: Prompt, end: str, shown: bool) -> Asks[str]:
    """The longest end of an end that does not say the same by itself: at every character, as
    words are not divided by spaces alone."""
    starts = [i for i, character in enumerate(end) if not unseen(character)]
    for first in range(0, len(starts), PIECE):
        ends = [end[start:] for start in starts[first : first + PIECE]]
        said = yield from _asked(guard, [(prompt, text) for text in ends])
        for text, own in zip(ends, said, strict=True):
            if not _says(own, shown):
                return text
    return ""


def _asked(guard: Guard, texts: Sequence[tuple[Prompt, str]]) -> Steps:
    """What it says of texts as responses."""
    said: list[Verdict] = []
    for start in range(0, len(texts), PIECE):
        some = texts[start : start + PIECE]
        said += yield guard, [prompt for prompt, _ in some], [text for _, text in some]
    return said


def _says(own: Verdict, shown: bool) -> bool:
    """Whether a verdict does not allow a text, and lets it be shown or not."""
    return not own.allowed and own.shown == shown


def unseen(character: str) -> bool:
    """Whether nothing is seen of a character by itself: space, format and control characters, and
    marks on others."""
    return character.isspace() or unicodedata.category(character) in UNSEEN


def ends_of(text: str) -> list[str]:
    """Ends of a text without its last word, each shorter than the one before.

    >>> ends_of("one two"), [len(end) for end in ends_of("a " * 200)], ends_of("one")
    (['one two'], [400, 198, 98, 48], [])
    """
    return [
        end for end in dict.fromkeys(tail(text, most) for most in ENDS) if end != last_word(end)
    ]


def tail(text: str, most: int = ENDS[0]) -> str:
    """The end of a text, in whole words as far as there are any. most: characters that are seen.

    >>> tail("short"), tail("word " * 100)[:10], len(tail("e" * 300)), tail("go" + " " * 300)
    ('short', 'word word ', 200, 'go         ')
    """
    start, left = len(text), most
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
