"""Many items in little memory: a sequence that moves to the disk when it grows."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, Generic, TypeVar, overload

from preflab.storage.durable import writing

T = TypeVar("T")
IN_MEMORY = 64 << 20
"""Bytes (pickled) that stay in memory; in memory they take about twice as much."""
_BLOCK = 32
"""Items that are written and read together."""
_SAMPLED = 8
"""Of so many items in memory one is measured, the first among them."""


class Spool(Sequence[T], Generic[T]):
    """Items in the order in which they were added: in memory while they are few, else in a file
    without a name, from which each access makes equal items anew. Reading them in order is
    fast; reading one out of order reads its block of 32.

    The file is in TMPDIR, or in /var/tmp, which unlike /tmp is on a disk everywhere. It is gone
    with the process, however that ends; `preflab.StorageError` if the disk is full.
    """

    def __init__(self) -> None:
        self._held: list[T] = []
        """The items in memory: all of them, or those after the last whole block."""
        self._size = 0
        self._folder = Path()
        self._file: IO[bytes] | None = None
        self._starts = array("Q", [0])
        self._block: tuple[int, list[T]] = (-1, [])

    def extend(self, items: Iterable[T]) -> None:
        """Add items at the end."""
        for item in items:
            self._held.append(item)
            if self._file is None and len(self._held) % _SAMPLED == 1:
                self._size += _SAMPLED * len(_pickled(item))
        if self._file is None and self._size > IN_MEMORY:
            self._folder = _folder()
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            weakref.finalize(self, self._file.close)
        while self._file is not None and len(self._held) >= _BLOCK:
            self._write(self._file)

    def sequence(self) -> Sequence[T]:
        """The items: a list if they are all in memory, else this sequence."""
        return self._held if self._file is None else self

    def _write(self, file: IO[bytes]) -> None:
        data = _pickled(self._held[:_BLOCK])
        with writing("the rows of a large file", self._folder):
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        self._starts.append(self._starts[-1] + len(data))
        del self._held[:_BLOCK]

    def __len__(self) -> int:
        return (len(self._starts) - 1) * _BLOCK + len(self._held)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"{index} of {len(self)} items")
        number, inside = divmod(position, _BLOCK)
        if number == len(self._starts) - 1:
            return self._held[inside]
        return self._read(number)[inside]

    def __iter__(self) -> Iterator[T]:
        for number in range(len(self._starts) - 1):
            yield from self._read(number)
        yield from self._held

    def _read(self, number: int) -> list[T]:
        if self._block[0] != number:
            assert self._file is not None
            start, end = self._starts[number], self._starts[number + 1]
            data = os.pread(self._file.fileno(), end - start, start)
            self._block = number, pickle.loads(data)
        return self._block[1]


class _Reducers(dict[type, Callable[[Any], Any]]):
    """By type, how `pickle` takes an item apart. Dataclasses are written as calls of their class:
    frozen ones with slots have a slow way of their own."""

    def __missing__(self, kind: type) -> Callable[[Any], Any]:
        fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
        if len(fields) < 2 or not all(field.init and not field.kw_only for field in fields):
            raise KeyError(kind)
        values = attrgetter(*(field.name for field in fields))
        self[kind] = lambda item: (kind, values(item))
        return self[kind]


class _Pickler(pickle.Pickler):
    dispatch_table = _Reducers()


def _pickled(value: object) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, pickle.HIGHEST_PROTOCOL).dump(value)
    return stream.getvalue()


def _folder() -> Path:
    return Path(
        os.environ.get("TMPDIR") or ("/var/tmp" if os.access("/var/tmp", os.W_OK) else "/tmp")
    )
