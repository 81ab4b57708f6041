"""Too much of the same: records that are there already, and prompts of one user."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from preflab.filtering import Selection, Sieve, prompt_of, sifted, text_key
from preflab.interfaces import Context
from preflab.randomness import derive_seed
from preflab.records import Demonstration, Document, Prompt, Ranking, Record
from preflab_builtin.filters.config import CapConfig, DeduplicateConfig
from preflab_builtin.filters.turns import last_turn

AGAIN = "the same record again"
NEARLY = "the same but for case, space and end punctuation"
_END = " \n.!?…。！？"
_MIXED = re.compile(r"[a-z][0-9_]*[A-Z]")
_CAPITAL_WITHIN = re.compile(r"[A-Z](?<=[a-z0-9_][A-Z])")
"""A text without this has no `_MIXED`, and is found out in a tenth of the time."""


class Deduplicate:
    """The `preflab.interfaces.Filter` for repeated records. Prompts are the same if their whole
    texts are the same but for case, space and the punctuation at the end; demonstrations and
    rankings if the responses (and the preferences and the labeler) are the same, too. So no system
    message, template or few-shot prefix that prompts share makes different questions equal, and no
    equal last turn different conversations. The first of equal records is kept, and documents
    always are."""

    def __init__(self, config: DeduplicateConfig, context: Context | None = None) -> None:
        self._config = config
        self._ignored = {word.casefold() for word in config.ignore}

    def __call__(self, records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
        """The records that say something new."""
        return sifted(records, self.sieve())

    def sieve(self) -> Sieve:
        """It remembers 64 bits of each record that it keeps, twice."""
        exact, nearly = set[int](), set[int]()

        def judge(record: Record) -> Record | str:
            if isinstance(record, Document):
                return record
            prompt = prompt_of(record)
            assert prompt is not None
            answer = _answer(record)
            # The first only names the reason; the second decides, and alike in every process.
            own, alike = hash((prompt.text, *answer)), text_key(*self._alike(prompt), *answer)
            if alike in nearly:
                return AGAIN if own in exact else NEARLY
            exact.add(own)
            nearly.add(alike)
            return record

        return judge

    def _alike(self, prompt: Prompt) -> Sequence[str]:
        """What equal prompts have in common: the last turn, or its first words, and all before."""
        before, turn = map(plain, last_turn(prompt))
        if self._config.length is None and not self._ignored:
            return before, turn
        words = [word for word in turn.split() if word not in self._ignored]
        return before, " ".join(words[: self._config.length])


def plain(text: str) -> str:
    """A text without what does not count: case (but in words like camelCase), space within lines
    and at their ends, empty lines, punctuation after the last letter.

    >>> plain("What is  TEA?"), plain("what is tea"), plain("What is 5!")
    ('what is tea', 'what is tea', 'what is 5!')
    """
    if not text:
        return ""
    text = text if text.isascii() else unicodedata.normalize("NFC", text)
    text = "\n".join(filter(None, map(_line, text.strip().split("\n"))))
    end = text.rstrip(_END)
    if end[-1:].isalpha():  # "5!" is another question than "5"
        text = end
    if not _CAPITAL_WITHIN.search(text) or not _MIXED.search(text):
        return text.casefold()
    return re.sub(r"\S+", lambda m: m[0] if _MIXED.search(m[0]) else m[0].casefold(), text)


def _line(line: str) -> str:
    """A line without what does not count; the space that it begins with does."""
    words = line.split()
    return line[: len(line) - len(line.lstrip())] + " ".join(words) if words else ""


def _answer(record: Record) -> Sequence[str]:
    """All that a record says of its prompt; for a ranking also who ranked, because two people may
    agree."""
    if isinstance(record, Demonstration):
        return (record.response,)
    if isinstance(record, Ranking):
        return (*record.responses, repr(record.preferences), record.labeler)
    return ()


class CapPerUser:
    """The `preflab.interfaces.Filter` for prolific users. A hash of their ids decides which prompts
    are kept, so that the same ones are kept among prompts, demonstrations and rankings, as far as
    these have the same prompts."""

    def __init__(self, config: CapConfig, context: Context | None = None) -> None:
        self._config = config

    def __call__(self, records: Sequence[Record]) -> tuple[Sequence[Record], Mapping[str, int]]:
        """The records whose prompt is among the chosen of its user; records without a user, and
        documents, are always kept."""
        prompts: dict[str, set[str]] = {}
        for record in records:
            prompt = prompt_of(record)
            if prompt is not None and prompt.user:
                prompts.setdefault(prompt.user, set()).add(prompt.id)
        chosen = {user: self._chosen(user, ids) for user, ids in prompts.items()}
        kept = Selection.of(records, lambda record: self._keeps(record, chosen))
        reason = f"more than {self._config.prompts} prompts of one user"
        return kept, {reason: len(records) - len(kept)}

    def _chosen(self, user: str, ids: set[str]) -> set[str]:
        seed = self._config.seed
        order = sorted(ids, key=lambda name: (derive_seed(seed, "cap", user, name), name))
        return set(order[: self._config.prompts])

    @staticmethod
    def _keeps(record: Record, chosen: Mapping[str, set[str]]) -> bool:
        prompt = prompt_of(record)
        return prompt is None or not prompt.user or prompt.id in chosen[prompt.user]
