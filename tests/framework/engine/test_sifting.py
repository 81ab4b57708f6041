"""Records through the filters: one pass for filters that judge row by row, examples of each reason,
nothing lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from preflab.engine.sifting import sift
from preflab.errors import PluginError
from preflab.filtering import Selection, Sieve, in_split, sifted
from preflab.interfaces import Filter
from preflab.records import Prompt, Record


class Source(Sequence[Record]):
    """Twenty prompts, made whenever they are asked for, and how often all of them were."""

    def __init__(self) -> None:
        self.passes = 0

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return Prompt(str(index), f"text {index}", place=f"rows.jsonl:{index + 1}")

    def __iter__(self) -> Iterator[Record]:
        self.passes += 1
        return (self[i] for i in range(20))


def number(record: Record) -> int:
    assert isinstance(record, Prompt)
    return int(record.id)


class Without:
    """A filter that leaves out multiples of a number, row by row."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
        return sifted(records, self.sieve())

    def sieve(self) -> Sieve:
        return lambda r: r if number(r) % self.factor else f"multiple of {self.factor}"


class ToTest:
    """A filter that puts everything into the test split, and remarks it."""

    def __call__(self, records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
        return sifted(records, self.sieve())

    def sieve(self) -> Sieve:
        return Counting()


class Counting:
    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, record: Record) -> Record:
        self.seen += 1
        return in_split(record, "test")

    def remarks(self) -> list[str]:
        return [f"{self.seen} seen"]


def drop_last(records: Sequence[Record]) -> tuple[Sequence[Record], Mapping[str, int]]:
    """A filter that wants all records at once."""
    return list(records)[:-1], {"last": 1, "never": 0}


@pytest.mark.parametrize("in_memory", [True, False])
def test_filters_that_judge_row_by_row_share_one_pass(in_memory: bool) -> None:
    source, seen = Source(), list[int]()
    records: Sequence[Record] = list(source) if in_memory else source
    source.passes = 0
    filters: dict[str, Filter] = {"two": Without(2), "split": ToTest(), "three": Without(3)}
    kept, losses = sift(records, filters, "prompts", lambda r: seen.append(number(r)))
    assert isinstance(kept, list) == in_memory
    # 0 to 19 without the multiples of 2 and 3
    assert [number(r) for r in kept] == [1, 5, 7, 11, 13, 17, 19] == seen
    assert {r.split for r in kept} == {"test"}
    assert losses.dropped == {"two: multiple of 2": 10, "three: multiple of 3": 3}
    assert losses.examples["three: multiple of 3"] == [
        "rows.jsonl:4 'text 3'", "rows.jsonl:10 'text 9'", "rows.jsonl:16 'text 15'",
    ]  # fmt: skip
    assert len(losses.examples["two: multiple of 2"]) == 3
    # it has seen what the filter before it has kept
    assert losses.remarks == ["filters.split: 10 seen"]
    assert source.passes == (0 if in_memory else 1)
    if isinstance(kept, Selection):
        assert number(kept[-1]) == 19


def test_a_filter_of_all_records_is_asked_in_its_place() -> None:
    seen: list[int] = []
    filters: dict[str, Filter] = {"two": Without(2), "end": drop_last, "three": Without(3)}
    kept, losses = sift(Source(), filters, "prompts", lambda r: seen.append(number(r)))
    # 19 is the last that Without(2) keeps
    assert [number(r) for r in kept] == [1, 5, 7, 11, 13, 17] == seen
    assert losses.dropped == {"two: multiple of 2": 10, "end: last": 1, "three: multiple of 3": 3}
    assert losses.examples["end: last"] == ["rows.jsonl:20 'text 19'"]


@pytest.mark.parametrize(("filters", "count"), [({"end": drop_last}, 19), ({}, 20)])
def test_the_last_filter_and_no_filter_are_seen_too(filters: dict[str, Filter], count: int) -> None:
    seen: list[int] = []
    kept, _ = sift(Source(), filters, "prompts", lambda r: seen.append(number(r)))
    assert [number(r) for r in kept] == seen == list(range(count))


def test_several_reasons_of_one_filter_share_their_examples() -> None:
    def both_ends(records: Sequence[Record]) -> tuple[Sequence[Record], Mapping[str, int]]:
        return [in_split(r, "train") for r in list(records)[1:-1]], {"first": 1, "last": 1}

    kept, losses = sift(Source(), {"ends": both_ends}, "prompts", lambda r: None)
    assert len(kept) == 18
    expected = ["rows.jsonl:1 'text 0'", "rows.jsonl:20 'text 19'"]
    assert losses.examples == {"ends: first or last": expected}


def test_a_sieve_that_gives_nothing_back_is_named() -> None:
    class Broken(Without):
        def sieve(self) -> Sieve:
            return lambda record: None  # type: ignore[return-value]

    with pytest.raises(PluginError, match="sieve of the filter mine gave back None"):
        sift(Source(), {"mine": Broken(1)}, "prompts", lambda r: None)


def test_a_filter_that_loses_a_row_is_named() -> None:
    with pytest.raises(
        PluginError, match="filter mine was given 20 prompts, kept 19 and reports 0"
    ):
        sift(Source(), {"mine": lambda r: (list(r)[1:], {})}, "prompts", lambda r: None)
