"""Many records in little memory: a sequence that moves to the disk when it grows."""

from __future__ import annotations

import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, overload

from preflab.records import Demonstration, Document, Message, Prompt, Ranking, Record
from preflab.storage.durable import writing

IN_MEMORY = 64 << 20
"""Bytes (as JSON) that stay in memory; in memory they take about twice as much."""
_BLOCK = 32
"""Items that are written and read together."""
_SAMPLED = 8
"""Of so many items in memory one is measured, the first among them."""
_OF_PROMPT = ("id", "text", "user", "tags", "group", "split", "rendered", "place")
_OF_DEMONSTRATION = ("response", "labeler", "group")
_OF_RANKING = ("responses", "preferences", "labeler", "group", "unjudged")
_OF_DOCUMENT = ("id", "text", "family", "split", "answer_start", "place")


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
        for item in items:
            self._held.append(item)
            if self._file is None and len(self._held) % _SAMPLED == 1:
                self._size += _SAMPLED * len(_written([item]))
        if self._file is None and self._size > IN_MEMORY:
            self._folder = _folder()
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            weakref.finalize(self, self._file.close)
        while self._file is not None and len(self._held) >= _BLOCK:
            self._write(self._file)

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
            self._block = number, list(map(_read, json.loads(data)))
        return self._block[1]


def _written(records: Sequence[Record]) -> bytes:
    """Records as JSON, each a list of its fields: nothing in a file is ever executed. Notes that
    JSON cannot hold (dates of a Parquet file) become texts."""
    return json.dumps(list(map(_fields, records)), default=str).encode("ascii")


def _fields(record: Record) -> list[Any]:
    if isinstance(record, Prompt):
        messages = [(m.role, m.content) for m in record.messages]
        plain = [getattr(record, name) for name in _OF_PROMPT]
        return ["prompt", *plain, record.notes, messages]
    if isinstance(record, Document):
        return ["document", *(getattr(record, name) for name in _OF_DOCUMENT)]
    prompt = _fields(record.prompt)
    if isinstance(record, Demonstration):
        return ["demonstration", prompt, *(getattr(record, name) for name in _OF_DEMONSTRATION)]
    return ["ranking", prompt, *(getattr(record, name) for name in _OF_RANKING)]


def _read(values: list[Any]) -> Record:
    """The record of some fields."""
    kind, *rest = values
    if kind == "document":
        return Document(**dict(zip(_OF_DOCUMENT, rest, strict=True)))
    if kind == "demonstration":
        return Demonstration(_prompt(rest[0]), *rest[1:])
    if kind == "ranking":
        prompt, responses, preferences, labeler, group, unjudged = rest
        pairs, others = (tuple((i, j) for i, j in some) for some in (preferences, unjudged))
        return Ranking(_prompt(prompt), tuple(responses), pairs, labeler, group, others)
    return _prompt(values)


def _prompt(values: list[Any]) -> Prompt:
    _, *plain, notes, messages = values
    given = dict(zip(_OF_PROMPT, plain, strict=True))
    given["tags"] = tuple(given["tags"])
    said = tuple(Message(role, content) for role, content in messages)
    return Prompt(**given, notes=notes, messages=said)


def _folder() -> Path:
    return Path(
        os.environ.get("TMPDIR") or ("/var/tmp" if os.access("/var/tmp", os.W_OK) else "/tmp")
    )
