"""One response while it grows: its tokens, its text, and how much of the text is sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from preflab.records import Prompt, Tokenizer

Finish = Literal["", "stop", "length", "content_filter"]
"""Why a response ended: an end token or a stop sequence, its cap, a guard; "" while it grows."""
PARTIAL = "�"
"""What bytes are decoded to that are no whole character yet."""


@dataclass
class Growing:
    """A response to a prompt that is read token by token.

    stops: texts that end it and are left out; most: tokens that it may have; number: of the choice
    in the answer; prompt_ids: what the model read.
    """

    tokenizer: Tokenizer
    prompt: Prompt
    prompt_ids: tuple[int, ...]
    number: int
    most: int
    stops: tuple[str, ...] = ()
    ids: list[int] = field(default_factory=list)
    state: tuple[str, Finish] = ("", "")
    """Its text and why it ended, in one: another thread reads them together."""
    computed: int = 0
    """Tokens that the model read or gave for it, also of responses that nobody was shown."""

    @property
    def text(self) -> str:
        """What was sampled so far, without what ended it."""
        return self.state[0]

    @property
    def finish(self) -> Finish:
        """Why it ended."""
        return self.state[1]

    @property
    def gap(self) -> str:
        """What stands between the prompt's text and its own: a tokenizer of words puts a space
        there, which is part of neither."""
        ids = self.ids or self.tokenizer.encode_response(self.prompt, self.text)
        asked = self.tokenizer.decode(self.prompt_ids)
        for number in range(1, len(ids) + 1):  # the first tokens may show nothing
            if first := self.tokenizer.decode_response(self.prompt, ids[:number]):
                together = self.tokenizer.decode([*self.prompt_ids, *ids[:number]])
                return " " if together == f"{asked} {first}" else ""
        return ""

    @property
    def begun(self) -> Prompt:
        """The prompt as the text that its own goes on from."""
        return replace(self.prompt, text=f"{self.prompt.text}{self.gap}")

    def feed(self, token: int) -> None:
        """Read its next token."""
        self.ids.append(token)
        text, finish = self.tokenizer.decode_response(self.prompt, self.ids), self.finish
        at = first_stop(text, self.stops)
        if at is not None:
            text, finish = text[:at], "stop"
        elif token in self.tokenizer.end_ids:
            finish = "stop"
        elif len(self.ids) >= self.most:
            finish = "length"
        self.state = (text, finish)

    def replace(self, text: str) -> None:
        """Put a guard's words in the place of what was sampled, of which nothing is kept."""
        self.ids, self.state = [], (text, "content_filter")

    def begin_anew(self) -> None:
        """Forget what was sampled: another response takes its place."""
        self.ids, self.state = [], ("", "")

    def sure(self) -> tuple[str, Finish]:
        """The text that no later token changes, without the beginning of a stop sequence or of a
        character; and why it ended."""
        text, finish = self.state
        if finish:
            return text, finish
        text = text.rstrip(PARTIAL)
        return text[: len(text) - begun_stop(text, self.stops)], ""


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop sequence begins; None if there is none.

    >>> first_stop("a b c", ["c", "b"]), first_stop("a", ["b"])
    (2, None)
    """
    return min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)


def begun_stop(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end may be the beginning of a stop sequence.

    >>> begun_stop("Hello\\n", ["\\n\\nHuman"]), begun_stop("Hello", ["Human"])
    (1, 0)
    """
    most = max((len(stop) for stop in stops), default=1) - 1
    for length in range(min(most, len(text)), 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stops):
            return length
    return 0
