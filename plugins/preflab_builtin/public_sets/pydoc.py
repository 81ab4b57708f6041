"""Paragraphs of ``pydoc_data.topics``, the language reference that Python carries with it: real
English without a download."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache

from preflab import Inspection
from preflab.interfaces import Context
from preflab.records import Document, Record, RecordType
from preflab.rows import fields
from preflab_builtin.filters.splits import split_of
from preflab_builtin.public_sets.config import PydocConfig

_GRAMMAR_OR_SESSION = re.compile(r"::=|>>>")


class PydocSource:
    """The `preflab.interfaces.DataSource` of Python's help: paragraphs in the order of the topics'
    names, a repeated one once."""

    def __init__(self, config: PydocConfig, context: Context | None = None) -> None:
        topics = _topics()
        documents: dict[str, Document] = {}
        for topic in sorted(topics):
            for text in paragraphs(topics[topic], config.min_characters, config.max_characters):
                name = fields.text_digest(text)
                document = Document(name, text, "python reference", split_of(name, config))
                documents.setdefault(name, document)
        self._documents = list(documents.values())

    def records(self, record_type: RecordType) -> Sequence[Record]:
        """Documents only."""
        return self._documents if record_type == "documents" else []


def inspect(config: PydocConfig) -> Inspection:
    """Digest of the topics, which differ from Python to Python, and the number of documents."""
    topics = _topics()
    whole = "\0".join(f"{topic}\0{topics[topic]}" for topic in sorted(topics))
    documents = PydocSource(config).records("documents")
    return Inspection(hashlib.sha256(whole.encode()).hexdigest(), {"documents": len(documents)})


def paragraphs(text: str, shortest: int, longest: int) -> list[str]:
    """Paragraphs of prose of ``shortest`` to ``longest`` characters, each on one line; grammar and
    sessions are left out.

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
