"""Words that must not occur: a control."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from preflab import Inspection
from preflab.errors import UserError
from preflab.interfaces import Context
from preflab.records import Prompt
from preflab.rows import path_digest
from preflab_builtin.guard.config import WordsConfig
from preflab_builtin.guard.verdicts import Scoring

ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u03b1\u03bf\u03c1\u03bd\u03b9\u03ba\u03c4\u0131\u0237\u0261\u00f8\u0142",
    "aeopcyxijshdqaopviktijgol",
)
"""Cyrillic, Greek and other small letters that look like Latin ones."""
UNSEEN = ("Mn", "Me", "Cf", "Cc")
"""Kinds of characters of which nothing is seen by itself: marks on others, format, control."""


def words(config: WordsConfig, context: Context) -> Scoring:
    """Score 1 for a text in which one of the words occurs, else 0."""
    pattern = pattern_of(listed(config))

    def scores(prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[float]:
        texts = [prompt.text for prompt in prompts] if responses is None else responses
        return [float(pattern.search(plain(text)) is not None) for text in texts]

    return Scoring(scores, 0.5, config.category, config.checks, config.action)


def inspect(config: WordsConfig) -> Inspection:
    """The digest of the file of words."""
    listed(config)
    return Inspection(content=path_digest(Path(config.path)) if config.path else "")


def listed(config: WordsConfig) -> list[str]:
    """All words; `UserError` for a file that cannot be read."""
    lines = list(config.words)
    if config.path:
        try:
            lines += Path(config.path).read_text(encoding="utf8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"guard.path: the words in {config.path} cannot be read: {error}"
            ) from None
    found = [word for line in lines if (word := plain(line).strip())]
    if not found:
        raise UserError(f"guard.path: {config.path} has no words.")
    return found


def pattern_of(found: Sequence[str]) -> re.Pattern[str]:
    """One of these plain words, as a whole word; white space within a phrase may be any.

    >>> bool(pattern_of(["ass"]).search("assisting")), bool(pattern_of(["a b"]).search("a  b!"))
    (False, True)
    """
    each = ("\\s+".join(re.escape(part) for part in word.split()) for word in found)
    return re.compile(rf"(?<!\w)(?:{'|'.join(each)})(?!\w)")


def plain(text: str) -> str:
    """A text as it is read: without capitals, accents, full-width forms, letters that only look
    like others, and characters that are not seen.

    >>> plain("Ｉｄ\u200bí\u043et"), plain("id\x08iot")
    ('idiot', 'idiot')
    """
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    seen = (c for c in folded if c.isspace() or unicodedata.category(c) not in UNSEEN)
    return "".join(seen).translate(ALIKE)
