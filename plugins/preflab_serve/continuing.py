"""Responses that go on in the middle of a text are checked with what stands in front of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from preflab.records import Prompt
from preflab_builtin.guard.verdicts import Guard, Verdict, strictest

TAIL = 200
"""Characters at the end of a prompt that are read together with what goes on from there."""


@dataclass(frozen=True)
class Continued:
    """`preflab_builtin.guard.verdicts.Guard`: what another one says of responses that go on in the
    middle of a text, as a client may cut one at any character: the end of the prompt and the
    response are read as one, too, and so is its last word. What an end of the prompt says by itself
    is its client's."""

    guard: Guard

    def check(self, prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[Verdict]:
        """A verdict each; of prompts what the guard says."""
        verdicts = list(self.guard.check(prompts, responses))
        if responses is None:
            return verdicts
        for cut in (tail, last_word):
            rows = [i for i, verdict in enumerate(verdicts) if verdict.shown]
            ends = [cut(prompts[i].text) for i in rows]
            joined = self._asked(
                [prompts[i] for i in rows],
                [f"{end}{responses[i]}" for i, end in zip(rows, ends, strict=True)],
            )
            found = zip(rows, ends, joined, strict=True)
            against = [(i, end, verdict) for i, end, verdict in found if not verdict.allowed]
            alone = self._asked([prompts[i] for i, _, _ in against], [end for _, end, _ in against])
            for (i, _, verdict), own in zip(against, alone, strict=True):
                if own.allowed:
                    verdicts[i] = strictest((verdicts[i], verdict))
        return verdicts

    def _asked(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict]:
        return self.guard.check(prompts, texts) if prompts else []


def tail(text: str) -> str:
    """The end of a text, in whole words as far as there are any.

    >>> tail("short"), tail("word " * 100)[:10], len(tail("e" * 300))
    ('short', 'word word ', 200)
    """
    end = text[-TAIL:]
    return end if len(text) <= TAIL else re.sub(r"^\S*\s+", "", end)


def last_word(text: str) -> str:
    """The last word of a text, with what follows it.

    >>> last_word("one two "), last_word("one"), last_word("")
    ('two ', 'one', '')
    """
    found = re.search(r"\S*\s*$", text[-TAIL:])
    return found[0] if found else ""
