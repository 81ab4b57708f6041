"""What filters are made of: a selection reads its records only when it is asked for them."""

from __future__ import annotations

from collections.abc import Sequence

from preflab.filtering import (
    RowByRow,
    Selection,
    Sieve,
    excerpt,
    in_split,
    prompt_of,
    sifted,
    text_key,
)
from preflab.records import Demonstration, Document, Message, Prompt, Ranking, Record


class Lazy(Sequence[Record]):
    """Prompts that are made when they are asked for, and how many were."""

    def __init__(self, size: int) -> None:
        self.size, self.made = size, 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if not 0 <= index < self.size:
            raise IndexError(index)
        self.made += 1
        return Prompt(str(index), f"text {index}", split="train")


def ids(records: Sequence[Record]) -> list[str]:
    return [r.id for r in records if isinstance(r, Prompt)]


def test_a_selection_reads_what_it_is_asked_for() -> None:
    lazy = Lazy(10)
    some = Selection.of(lazy, lambda record: int(ids([record])[0]) % 2 == 1)
    assert (lazy.made, len(some)) == (10, 5)
    assert (ids([some[1]]), ids([some[-1]]), ids(some[1:3])) == (["3"], ["9"], ["3", "5"])
    assert lazy.made == 14
    assert ids(some) == ["1", "3", "5", "7", "9"]


def test_a_selection_of_few_does_not_read_all() -> None:
    lazy = Lazy(1000)
    few = Selection(lazy, [7, 900], ["train", "test"])
    assert [(i, r.split) for i, r in zip(ids(few), few, strict=True)] == [
        ("7", "train"), ("900", "test"),
    ]  # fmt: skip
    assert lazy.made == 4
    assert ids(few.of_split("test")) == ["900"]
    assert len(few.of_split("validation")) == 0


def test_a_selection_of_records_in_memory_is_a_list() -> None:
    prompts: list[Record] = [Prompt("1", "a"), Prompt("2", "b")]
    assert Selection.of(prompts, lambda record: record is prompts[1]) == [prompts[1]]


def test_sifting_counts_reasons_and_moves_records() -> None:
    def sieve(record: Record) -> Record | str:
        name = ids([record])[0]
        return f"is {name}" if name in "12" else in_split(record, "test")

    kept, dropped = sifted(Lazy(4), sieve)
    assert [(r.split, ids([r])) for r in kept] == [("test", ["0"]), ("test", ["3"])]
    assert dropped == {"is 1": 1, "is 2": 1}


def test_what_a_filter_may_have() -> None:
    class Whole:
        """A filter of all records at once."""

        def __call__(self, records: Sequence[Record]) -> tuple[Sequence[Record], dict[str, int]]:
            return records, {}

    class Rows(Whole):
        """A filter that judges them one by one."""

        def sieve(self) -> Sieve:
            return lambda record: record

    assert (isinstance(Whole(), RowByRow), isinstance(Rows(), RowByRow)) == (False, True)


def test_keys_differ_where_texts_do() -> None:
    texts = [("a",), ("a", ""), ("", "a"), ("ab",), ("a", "b"), ("b", "a"), ("\ud800",), ()]
    assert len({text_key(*t) for t in texts}) == len(texts)
    assert text_key("a", "b") == text_key("a", "b")
    assert text_key("a") < 2**64


def test_an_excerpt_says_where_and_what() -> None:
    prompt = Prompt("7", "word " * 100, place="rows.jsonl:4")
    assert excerpt(prompt, 9) == "rows.jsonl:4 'word wor…'"
    assert excerpt(Demonstration(prompt, "x")) == excerpt(prompt)
    assert excerpt(Document("d", "some\ntext")) == "d 'some text'"
    chat = Prompt("1", "long", messages=(Message("system", "s"), Message("user", "the question")))
    assert excerpt(Ranking(chat, ("a", "b"), ())) == "1 'the question'"
    assert prompt_of(Document("d", "t")) is None
