"""Words and normalisation in every script, against rouge-score's and SQuAD's own rules in ASCII."""

from __future__ import annotations

import random
import string

import pytest

from preflab_builtin.evaluation.published import squad_normalised
from preflab_builtin.evaluation.words import (
    folded,
    normalised,
    normalised_words,
    without_spaces,
    words,
)


def _ascii_texts() -> list[str]:
    letters = string.ascii_letters + string.digits + string.punctuation + "   \n\t"
    rng = random.Random(0)
    return ["".join(rng.choices(letters, k=rng.randrange(40))) for _ in range(500)]


def test_ascii_words_are_those_of_rouge_score() -> None:
    from rouge_score import tokenize

    for text in _ascii_texts():
        assert words(text) == tokenize.tokenize(text, None)


def test_normalisation_is_squads_except_for_numbers() -> None:
    for text in _ascii_texts():
        plain = text.replace(".", "").replace("-", "")
        official = squad_normalised(plain)
        assert normalised(plain) == (official or " ".join(plain.lower().split()))
    assert normalised("The U.S.A.,  an  Example!") == "usa example"
    assert normalised("anthem the") == "anthem"  # articles are whole words


@pytest.mark.parametrize(
    "one,other",
    [("1.5", "15"), ("-5", "5"), ("+", "-"), ("3.", "3.1"), (":-)", ":-("), ("a", "the")],
)
def test_what_differs_stays_different(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    "one,other",
    [
        ("一九四九年。", "一九四九年"),
        ("¿Qué?", "qué"),
        ("ﾊﾟﾘ", "パリ"),  # half-width Japanese
        ("１２", "12"),
        ("Cafe\N{COMBINING ACUTE ACCENT}", "café"),  # two ways to write one letter
        ("می\N{ZERO WIDTH NON-JOINER}خواهم", "میخواهم"),
        ("क्या?", "क्या।"),
        ("\N{MINUS SIGN}5", "-5"),
        ("$5,000", "5000"),
    ],
)
def test_what_is_the_same_is_the_same(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    "text,expected",
    [
        ("北京123", ["北", "京", "123"]),
        ("東京タワー", ["東", "京", "タ", "ワ", "ー"]),
        ("ที่นี่", ["ที่", "นี่"]),  # a letter and its marks are one
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),  # marks do not end a word
        ("ብርሃን፡አለም", ["ብርሃን", "አለም"]),
        ("안녕 세계!", ["안녕", "세계"]),
        ("👍 ok", ["👍", "ok"]),
        ("?!", []),
    ],
)
def test_words_by_script(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_normalised_words_split_where_there_are_no_spaces() -> None:
    assert normalised_words("C++ in 北京.") == ["c", "in", "北", "京"]
    assert normalised_words("ብርሃን፡አለም") == ["ብርሃን", "አለም"]


def test_scripts_without_spaces_are_recognised_by_their_share() -> None:
    assert without_spaces(["Paris", "Rome"]) == without_spaces([]) == ""
    assert without_spaces(["안녕하세요 세계"]) == ""  # Korean has spaces
    assert (without_spaces(["长江"]), without_spaces(["カタカナ"])) == ("zh", "ja")
    assert folded("ＡＢ") == "ab"
