"""Columns of a row: the value as it is used, or the column and the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflab.rows import BadRow, fields, shown, type_name


def test_good_columns() -> None:
    row: dict[str, Any] = {"a": "x", "n": 7, "empty": "", "list": ["x", "y"], "numbers": [1, 2.5]}
    assert (fields.text(row, "a"), fields.text(row, "empty", blank=True)) == ("x", "")
    assert [fields.identifier(row, c) for c in ("a", "n", "empty", "none")] == ["x", "7", "", ""]
    assert fields.identifier({"n": 7.0}, "n") == "7"  # how pandas writes 7 in a column with gaps
    assert fields.configured_identifier(row, "n", "a") == "7"
    assert fields.configured_identifier(row, None, "a") == "x"
    assert fields.texts(row, "list") == ["x", "y"]
    assert fields.numbers(row, "numbers", 2) == [1.0, 2.5]
    assert fields.one_of("x", "a", ("x", "y")) == "x"
    assert [fields.tags({"tags": tags}) for tags in (None, "a", ["a", "b"])] == [
        (),
        ("a",),
        ("a", "b"),
    ]
    splits = [fields.split({"split": split}) for split in ("train", "dev", "val", "", None)]
    assert splits == ["train", "validation", "validation", "", ""]
    assert fields.split({"part": "test"}, "part") == "test"
    assert fields.text_digest("x") == fields.text_digest("x") != fields.text_digest("y")


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda: fields.text({}, "a"), "a: is null but must be a text"),
        (lambda: fields.text({"a": " \n"}, "a"), "a: is empty"),
        (lambda: fields.text({"a": "x\0"}, "a"), "a: holds a NUL character at position 1"),
        (lambda: fields.text({"a": "\ud800"}, "a"), "a: holds half a surrogate pair"),
        (lambda: fields.identifier({"a": True}, "a"), "a: is true or false"),
        (lambda: fields.identifier({"a": 1.5}, "a"), "a: is a number but must be a text"),
        (
            lambda: fields.configured_identifier({"user_id": 1}, "usr_id", "user"),
            "usr_id: the config names this column, .*Did you mean 'user_id'",
        ),
        (lambda: fields.split({"split": "tran"}), "split: is 'tran'.*Did you mean 'train'"),
        (lambda: fields.one_of("z", "a", ("x", None)), "a: is 'z'. Allowed: x, None"),
        (lambda: fields.items({"a": "x"}, "a"), "a: is a text but must be a list"),
        (lambda: fields.texts({"a": ["x", ""]}, "a"), r"a\[1\]: is empty"),
        (lambda: fields.number(True, "a"), "a: is true or false but must be a number"),
        (lambda: fields.number(float("nan"), "a"), "a: is nan but must be a finite number"),
        (lambda: fields.numbers({"a": [1]}, "a", 2), "a: has 1 numbers for 2 values"),
        (lambda: fields.tags({"tags": 5}), "tags: is a number but must be a list"),
    ],
)
def test_a_bad_column_is_named(read: Callable[[], object], expected: str) -> None:
    with pytest.raises(BadRow, match=f"^{expected}"):
        read()


def test_text_from_a_file_is_fit_for_a_message() -> None:
    assert shown("a\tb\x1b[31m\ud800\u202e") == r"a\tb\x1b[31m\ud800\u202e"
    assert shown("x" * 61) == "x" * 60 + "..."
    values: list[object] = [None, True, 1, 1.5, "", [], {}, b""]
    assert [type_name(value) for value in values] == [
        "null",
        "true or false",
        "a number",
        "a number",
        "a text",
        "a list",
        "an object",
        "of type bytes",
    ]


def test_words_for_true_and_false_in_any_case() -> None:
    assert [fields.yes_or_no(word) for word in (" Pass", "YES", "\U0001f44d", "✓")] == [True] * 4
    assert [fields.yes_or_no(word) for word in ("fail\n", "No", "\U0001f44e", "✗")] == [False] * 4
    assert [fields.yes_or_no(word) for word in ("", "1", "perhaps", "no way")] == [None] * 4
    assert not fields.YES & fields.NO


def test_lists_written_as_texts() -> None:
    assert fields.written(' ["a", 1] ', "x") == fields.written("['a', 1]", "x") == ["a", 1]
    assert fields.written("{'a': None}", "x") == {"a": None}
    # Two quotes with a space between them are a text here, and side by side below
    assert fields.written("""["it's", 'a " " b']""", "x") == ["it's", 'a " " b']
    assert [fields.written(t, "x") for t in ("", "3", "[1] Paris", "[a", "[f()]")] == [None] * 5
    for text in ("['a' 'b']", "['a'\n 'b']"):
        with pytest.raises(BadRow, match="x: is a printed array"):
            fields.written(text, "x")
