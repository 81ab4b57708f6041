"""What filters are made of: rows judged one by one, and a selection of records that are read
lazily, so that a million rows need not be in memory to be filtered."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, overload, runtime_checkable

from preflab.records import Document, Prompt, Record, with_split

Sieve = Callable[[Record], Record | str]
"""Takes records one by one, in their order: gives back the record, in this split or another, or the
reason for leaving it out."""


@runtime_checkable
class RowByRow(Protocol):
    """A `Filter` that sees each record once, in order. Several of them in a row share one pass over
    the records, and what each leaves out is listed with examples of every reason."""

    def sieve(self) -> Sieve:
        """A new sieve, for one pass. It may be a `Remarking`."""


@runtime_checkable
class Remarking(Protocol):
    """A `Sieve`, or a `preflab.interfaces.Transform`, that has something to say to the owner of the
    records when it has seen all of one type."""

    def remarks(self) -> Sequence[str]:
        """Sentences, each with what is odd and the override that changes it."""


class Selection(Sequence[Record]):
    """Some of the records of a sequence, in its order, in the splits given. It holds numbers, not
    records: a sequence that reads its records when they are asked for stays as small as it is."""

    def __init__(
        self, records: Sequence[Record], rows: Sequence[int], splits: Sequence[str]
    ) -> None:
        self._records, self._rows, self._splits = records, rows, splits

    @staticmethod
    def of(records: Sequence[Record], keeps: Callable[[Record], bool]) -> Sequence[Record]:
        """The records that are to be kept: a list of them if they are in memory anyway."""
        if isinstance(records, (list, tuple)):
            return [record for record in records if keeps(record)]
        rows, splits = array("q"), list[str]()
        for row, record in enumerate(records):
            if keeps(record):
                rows.append(row)
                splits.append(record.split)
        return Selection(records, rows, splits)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Selection: ...
    def __getitem__(self, index: int | slice) -> Record | Selection:
        if isinstance(index, slice):
            return Selection(self._records, self._rows[index], self._splits[index])
        return in_split(self._records[self._rows[index]], self._splits[index])

    def __iter__(self) -> Iterator[Record]:
        if 2 * len(self._rows) < len(self._records):
            read: Iterator[Record] = (self._records[row] for row in self._rows)
        else:  # one after the other is faster than by number
            wanted = set(self._rows)
            read = (r for row, r in enumerate(self._records) if row in wanted)
        for record, split in zip(read, self._splits, strict=True):
            yield in_split(record, split)

    def of_split(self, split: str) -> Selection:
        """The records of one split."""
        at = [i for i, own in enumerate(self._splits) if own == split]
        rows = [self._rows[i] for i in at]
        return Selection(self._records, rows, [split] * len(rows))


def sifted(records: Sequence[Record], sieve: Sieve) -> tuple[list[Record], Mapping[str, int]]:
    """What a `Filter` returns, from a sieve: the records kept, and how many were left out for which
    reason."""
    kept: list[Record] = []
    dropped: dict[str, int] = {}
    for record in records:
        verdict = sieve(record)
        if isinstance(verdict, str):
            dropped[verdict] = dropped.get(verdict, 0) + 1
        else:
            kept.append(verdict)
    return kept, dropped


def in_split(record: Record, split: str) -> Record:
    """The record in a split; itself if it is there already."""
    return record if record.split == split else with_split(record, split)


def prompt_of(record: Record) -> Prompt | None:
    """The prompt that a record is about; documents have none."""
    if isinstance(record, Document):
        return None
    return record if isinstance(record, Prompt) else record.prompt


def text_key(*texts: str) -> int:
    """64 bits that stand for some texts: of a million different ones, two have the same with a
    chance of 3 in 100 million."""
    encoded = [text.encode("utf8", "surrogatepass") for text in texts]
    whole = b"".join([b"%d:%b" % (len(text), text) for text in encoded])
    return int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest())


def excerpt(record: Record, width: int = 60) -> str:
    """Where a record was read, and how its text, or its last message, begins: for
    messages to people.

    >>> excerpt(Prompt("7", "Add   2\\nand 3.", place="sums.jsonl:4"))
    "sums.jsonl:4 'Add 2 and 3.'"
    """
    about = record if isinstance(record, (Prompt, Document)) else record.prompt
    last = about.messages[-1].content if isinstance(about, Prompt) and about.messages else ""
    text = " ".join((last or about.text)[: 4 * width].split())
    shown = text if len(text) <= width else f"{text[: width - 1]}…"
    return f"{about.place or about.id} {shown!r}"
