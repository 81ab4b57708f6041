"""Responses that grow: where they end, and what of them is sure."""

from __future__ import annotations

import itertools

import pytest

from preflab.records import Prompt
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer
from preflab_serve.growing import Growing, begun_stop, first_stop


def grown(text: str, stops: tuple[str, ...] = (), most: int = 100) -> list[tuple[str, str]]:
    """What is sure after each byte of a response that ends with the end token."""
    tokenizer, prompt = byte_tokenizer(), Prompt("", "")
    row = Growing(tokenizer, prompt, (1,), 0, most, stops)
    found: list[tuple[str, str]] = []
    for token in tokenizer.encode_response(prompt, text):
        row.feed(token)
        found.append(row.sure())
        if row.finish:
            break
    return found


def test_what_is_sure_never_changes() -> None:
    found = grown("a💥b STOP c", ("STOP",))
    sure = [text for text, _ in found]
    assert all(after.startswith(before) for before, after in itertools.pairwise(sure))
    # Four bytes of 💥 are one character; S, ST and STO may be the beginning of STOP.
    assert sure == ["a", *["a"] * 3, "a💥", "a💥b", "a💥b ", *["a💥b "] * 4]
    assert found[-1] == ("a💥b ", "stop")


@pytest.mark.parametrize(
    "text, stops, most, sure, finish",
    [
        ("abc", (), 100, "abc", "stop"),
        ("abc", (), 2, "ab", "length"),
        ("abc", (), 3, "abc", "length"),
        ("abcd", ("d", "bc"), 100, "a", "stop"),
        ("abST", ("STOP",), 100, "abST", "stop"),  # it ended before the stop sequence did
    ],
)
def test_how_a_response_ends(
    text: str, stops: tuple[str, ...], most: int, sure: str, finish: str
) -> None:
    assert grown(text, stops, most)[-1] == (sure, finish)


def test_the_beginning_of_a_stop_sequence() -> None:
    assert begun_stop("a\n\nHu", ("\n\nHuman:", "x")) == 4
    assert begun_stop("a\n\nHub", ("\n\nHuman:",)) == 0
    assert begun_stop("aa", ("aab",)) == 2
    assert first_stop("xaab", ("aab", "b")) == 1
