"""Paragraphs of ``pydoc_data.topics``, the language reference that Python carries with it: real English without a download."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache

from preflab import Inspection
from preflab.interfaces import Gold
from preflab.records import Document, Record, RecordType
from preflab_builtin.files.config import PydocConfig
from preflab_builtin.files.fields import text_digest
from preflab_builtin.files.tables import share_split

_GRAMMAR_OR_SESSION = re.compile(r"::=|>>>")


class PydocSource:
    """The `preflab.interfaces.DataSource` of Python's help."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents

    @property
    def vocabulary(self) -> Sequence[str] | None:
        return None

    @property
    def gold(self) -> Gold | None:
        return None

    def records(self, record_type: RecordType) -> Sequence[Record]:
        """Documents only."""
        return self._documents if record_type == "documents" else []


def load(config: PydocConfig) -> PydocSource:
    """The paragraphs, in the order of the topics' names, a repeated one once."""
    topics = _topics()
    found: dict[str, Document] = {}
    for topic in sorted(topics):
        for text in paragraphs(topics[topic], config.min_characters, config.max_characters):
            name = text_digest(text)
            split = share_split(name, config.validation, config.test, config.seed)
            found.setdefault(name, Document(name, text, "python reference", split))
    return PydocSource(list(found.values()))


def inspect(config: PydocConfig) -> Inspection:
    """Digest of the topics, which differ from Python to Python, and of the seed."""
    topics = _topics()
    whole = "\0".join(f"{topic}\0{topics[topic]}" for topic in sorted(topics))
    content = hashlib.sha256(f"{config.seed}\0{whole}".encode()).hexdigest()
    return Inspection(content, {"documents": len(load(config).records("documents"))})


def paragraphs(text: str, shortest: int, longest: int) -> list[str]:
    """Paragraphs of prose of ``shortest`` to ``longest`` characters, each on one line; grammar and sessions are left out.

    >>> paragraphs("One two\\n   three.\\n\\n>>> four", 5, 20)
    ['One two three.']
    """
    joined = (" ".join(part.split()) for part in re.split(r"\n[ \t]*\n", text))
    return [
        p for p in joined if shortest <= len(p) <= longest and not _GRAMMAR_OR_SESSION.search(p)
    ]


@cache
def _topics() -> Mapping[str, str]:
    from pydoc_data.topics import topics

    return topics
