"""Many records in little memory: a sequence that moves to the disk when it grows."""

from __future__ import annotations

import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import IO, Any, overload

from preflab.records import Demonstration, Document, Message, Prompt, Ranking, Record
from preflab.storage.durable import writing

IN_MEMORY = 64 << 20
"""Bytes of texts that stay in memory; as records they take about twice as much."""
_BLOCK = 32
"""Items that are written and read together."""
_SAMPLED = 8
"""Of so many items in memory one is measured, the first among them."""
_SIZES = 16
"""Bytes at the start of a block: the length of its JSON, and the number of its texts."""
_Facts = tuple[Any, ...]


class Spool(Sequence[Record]):
    """Records in the order in which they were added: in memory while they are few, else in a file
    without a name, from which each access makes equal records anew. Reading them in order is
    fast; reading one out of order reads its block of 32.

    The file is in TMPDIR, or in /var/tmp, which unlike /tmp is on a disk everywhere. It is gone
    with the process, however that ends; `preflab.StorageError` if the disk is full.
    """

    def __init__(self) -> None:
        self._held: list[Record] = []
        """The items in memory: all of them, or those after the last whole block."""
        self._size = 0
        self._folder = Path()
        self._file: IO[bytes] | None = None
        self._starts = array("Q", [0])
        self._block: tuple[int, list[Record]] = (-1, [])

    def extend(self, items: Iterable[Record]) -> None:
        """Add items at the end."""
        if self._file is None:
            self._hold(items)
        else:
            self._held.extend(items)
        while self._file is not None and len(self._held) >= _BLOCK:
            self._write(self._file)

    def _hold(self, items: Iterable[Record]) -> None:
        """Add items to those in memory; a file is made when they are too many."""
        for item in items:
            self._held.append(item)
            if len(self._held) % _SAMPLED == 1:
                self._size += _SAMPLED * len(_written([item]))
        if self._size > IN_MEMORY:
            self._folder = _folder()
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            weakref.finalize(self, self._file.close)

    def sequence(self) -> Sequence[Record]:
        """The items: a list if they are all in memory, else this sequence."""
        return self._held if self._file is None else self

    def _write(self, file: IO[bytes]) -> None:
        data = _written(self._held[:_BLOCK])
        with writing("the rows of a large file", self._folder):
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        self._starts.append(self._starts[-1] + len(data))
        del self._held[:_BLOCK]

    def __len__(self) -> int:
        return (len(self._starts) - 1) * _BLOCK + len(self._held)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"{index} of {len(self)} items")
        number, inside = divmod(position, _BLOCK)
        if number == len(self._starts) - 1:
            return self._held[inside]
        return self._read(number)[inside]

    def __iter__(self) -> Iterator[Record]:
        for number in range(len(self._starts) - 1):
            yield from self._read(number)
        yield from self._held

    def _read(self, number: int) -> list[Record]:
        if self._block[0] != number:
            assert self._file is not None
            start, end = self._starts[number], self._starts[number + 1]
            data = os.pread(self._file.fileno(), end - start, start)
            self._block = number, _read(data)
        return self._block[1]


def _written(records: Sequence[Record]) -> bytes:
    """A block: what is not text, as JSON (`_facts`; null where it is as in the record before); how
    many bytes each text has; and the texts as they are, in UTF-8. Nothing in a file is ever
    executed. Notes that JSON cannot hold (dates of a Parquet file) become texts."""
    texts: list[str] = []
    facts = [_facts(record, texts) for record in records]
    pairs = pairwise([(), *facts])
    changes = [None if own == before and not own[-1] else own for before, own in pairs]
    head = json.dumps(changes, default=str).encode("ascii")
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]  # each, as most are ASCII
    sizes = array("Q", (len(head), len(parts)))
    lengths = array("Q", map(len, parts))
    return b"".join((sizes.tobytes(), head, lengths.tobytes(), *parts))


def _facts(record: Record, texts: list[str]) -> _Facts:
    """What a record holds next to its texts, which are added to ``texts``."""
    if isinstance(record, Document):
        texts += (record.id, record.text, record.family, record.split, record.place)
        return ("document", record.answer_start)
    if isinstance(record, Prompt):
        return ("prompt", *_of_prompt(record, texts))
    if isinstance(record, Demonstration):
        texts += (record.response, record.labeler, record.group)
        return ("demonstration", *_of_prompt(record.prompt, texts))
    texts += (*record.responses, record.labeler, record.group)
    about = (len(record.responses), record.preferences, record.unjudged, record.ratings)
    return ("ranking", *about, *_of_prompt(record.prompt, texts))


def _of_prompt(prompt: Prompt, texts: list[str]) -> _Facts:
    own = (prompt.id, prompt.text, prompt.user, prompt.group, prompt.split, prompt.place)
    texts += (*own, *prompt.tags)
    for message in prompt.messages:
        texts += (message.role, message.content)
    return len(prompt.tags), len(prompt.messages), prompt.rendered, prompt.notes


def _read(data: bytes) -> list[Record]:
    """The records of a block."""
    sizes = array("Q", data[:_SIZES])
    end, number = _SIZES + sizes[0], sizes[1]
    begin = end + number * sizes.itemsize
    ends = list(accumulate(array("Q", data[end:begin]), initial=begin))
    pieces = [data[start:stop] for start, stop in pairwise(ends)]
    texts = iter([piece.decode("utf-8", "surrogatepass") for piece in pieces])
    records, facts = list[Record](), list[Any]()
    for own in json.loads(data[_SIZES:end]):
        facts = own or facts
        records.append(_record(facts, texts))
    return records


def _record(facts: Sequence[Any], texts: Iterator[str]) -> Record:
    """The record of some facts, which takes its texts."""
    kind, *rest = facts
    if kind == "document":
        name, text, family, split, place = islice(texts, 5)
        return Document(name, text, family, split, rest[0], place)
    if kind == "prompt":
        return _prompt(rest, texts)
    if kind == "demonstration":
        response, labeler, group = islice(texts, 3)
        return Demonstration(_prompt(rest, texts), response, labeler, group)
    count, preferences, unjudged, ratings, *about = rest
    responses = tuple(islice(texts, count))
    labeler, group = islice(texts, 2)
    pairs, others = (tuple((i, j) for i, j in some) for some in (preferences, unjudged))
    who, prompt = (labeler, group), _prompt(about, texts)
    return Ranking(prompt, responses, pairs, *who, others, tuple(ratings))


def _prompt(facts: Sequence[Any], texts: Iterator[str]) -> Prompt:
    tags, messages, rendered, notes = facts
    name, text, user, group, split, place = islice(texts, 6)
    given = tuple(islice(texts, tags)) if tags else ()
    said = tuple(Message(next(texts), next(texts)) for _ in range(messages)) if messages else ()
    return Prompt(name, text, user, given, group, split, dict(notes), said, rendered, place)


def _folder() -> Path:
    return Path(
        os.environ.get("TMPDIR") or ("/var/tmp" if os.access("/var/tmp", os.W_OK) else "/tmp")
    )
