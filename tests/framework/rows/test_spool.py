"""Items that move to the disk when they are many: the same sequence, in little memory."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preflab import StorageError
from preflab.records import Demonstration, Document, Message, Prompt, Ranking, Record
from preflab.rows import Spool, spool


def _records(number: int) -> list[Ranking]:
    conversation = (Message("user", "why? \U0001f600"),)
    return [
        Ranking(
            Prompt(f"p{i}", f"q {i}", tags=("a",), notes={"n": [i]}, messages=conversation),
            (f"good {i}", "bad"),
            ((0, 1),),
        )
        for i in range(number)
    ]


def _spooled(items: Sequence[Any], pieces: int) -> Spool:
    made = Spool()
    for start in range(0, len(items), pieces):
        made.extend(items[start : start + pieces])
    return made


def test_a_few_items_stay_a_list() -> None:
    items = _records(100)
    assert _spooled(items, 3).sequence() == items
    assert type(_spooled(items, 3).sequence()) is list
    assert Spool().sequence() == []


@pytest.mark.parametrize("number", [31, 32, 33, 64, 500])
@pytest.mark.parametrize("pieces", [1, 7, 500])
@pytest.mark.parametrize("limit", [0, 2000])
def test_many_items_are_the_same_sequence(
    monkeypatch: pytest.MonkeyPatch, number: int, pieces: int, limit: int
) -> None:
    """Length, order, any position, slices and negative numbers, whichever are still in memory."""
    monkeypatch.setattr(spool, "IN_MEMORY", limit)
    items = _records(number)
    found = _spooled(items, pieces).sequence()
    assert isinstance(found, Spool)  # a record takes over 100 bytes
    assert (len(found), list(found), list(found)) == (number, items, items)
    order = random.Random(0).sample(range(number), number)
    assert [found[i] for i in order] == [items[i] for i in order]
    assert (found[-1], found[-number]) == (items[-1], items[0])
    assert (found[3:29:5], found[::-1], found[7:]) == (items[3:29:5], items[::-1], items[7:])
    with pytest.raises(IndexError, match=f"{number} of {number} items|list index"):
        found[number]


def test_every_kind_of_record_comes_back_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the places, which are not compared."""
    monkeypatch.setattr(spool, "IN_MEMORY", 0)
    place = "rows.jsonl:3"
    prompt = Prompt(
        "p", "q", "u", ("t",), "g", "test", {"n": {"k": [1]}}, rendered=True, place=place
    )
    kinds: list[Record] = [
        prompt,
        Demonstration(replace(prompt, messages=(Message("user", "q"),)), "a", "labeler", "group"),
        Ranking(prompt, ("a", "b", "c"), ((0, 1), (2, 1)), "labeler", "group", ((0, 2),)),
        Ranking(prompt, ("a", "b"), ((0, 1),), ratings=(0.1, -7.0)),
        Document("d", "text", "family", "train", 3, place),
    ]
    found = list(_spooled(kinds * 20, 9))
    assert found == kinds * 20
    assert {repr(record) for record in found} == {repr(record) for record in kinds}


def test_the_file_has_no_name_and_stands_where_tmpdir_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    files = len(os.listdir("/proc/self/fd"))
    found = _spooled(_records(100), 1)
    assert list(tmp_path.iterdir()) == []
    assert found[99] == _records(100)[99]
    del found
    assert len(os.listdir("/proc/self/fd")) == files


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr(spool, "IN_MEMORY", 0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: Full())
    with pytest.raises(StorageError, match=f"the rows of a large file: .*{tmp_path}"):
        _spooled(_records(100), 1)
