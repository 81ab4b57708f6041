"""Tests of the pages' texts: every language says the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import files

import pytest

from preflab.errors import UserError
from preflab_people.judgments import FLAGS
from preflab_people.server.languages import (
    available,
    check_languages,
    choose,
    direction,
    words_of,
)
from preflab_people.store.settings import SKIP_REASONS

PLURALS = ("zero", "one", "two", "few", "many")
FORMS = {"en": ("one",), "de": ("one",), "ar": ("zero", "one", "two", "few")}
"""Plural forms of a language that some text has, besides "other"."""


def _without_plurals(keys: Iterable[str]) -> set[str]:
    return {key for key in keys if key.rpartition(".")[2] not in PLURALS}


def test_english_german_and_arabic_are_there() -> None:
    assert available() == ("ar", "de", "en")
    assert [direction(language) for language in available()] == ["rtl", "ltr", "ltr"]


@pytest.mark.parametrize("language", available())
def test_a_language_says_everything_with_the_same_blanks(language: str) -> None:
    english, words = words_of("en"), words_of(language)
    assert _without_plurals(words) == _without_plurals(english)
    for key, text in words.items():
        assert text.strip(), key
        blanks = set(re.findall(r"\{\w+\}", text))
        stem, _, form = key.rpartition(".")
        if form in PLURALS:
            assert form in FORMS[language], key
            assert blanks <= set(re.findall(r"\{\w+\}", english[f"{stem}.other"])), key
        else:
            assert blanks == set(re.findall(r"\{\w+\}", english[key])), key


def test_every_text_that_is_asked_for_is_there_and_every_one_there_is_asked_for() -> None:
    folder = files("preflab_people.server")
    scripts = "".join(f.read_text() for f in folder.joinpath("static").iterdir())
    templates = "".join(f.read_text() for f in folder.joinpath("templates").iterdir())
    words = words_of("en")
    asked = set(re.findall(r'say\(\s*"([a-z_.]+)"', scripts))
    asked |= {
        name
        for call in re.findall(r"say\(([^;]*?)\)", scripts)
        for name in re.findall(r'"([a-z_]+\.[a-z_.]+)"', call)
    }
    asked |= set(re.findall(r'words\["([a-z_.]+)"\]', templates))
    for key in asked:
        assert key in words or f"{key}.other" in words, key
    made = ("title.", "nav.", "help.", "survey.", "flag.", "skip.", "error.", "role.", "missing.")
    for key in _without_plurals(words):
        stem = key.removesuffix(".other")
        assert key == "language" or stem in asked or stem.startswith((*made, "task.")), key
        if stem.startswith("task.") and stem not in asked:
            name = stem.split(".")[-1]
            assert f'"{name}"' in scripts or f'"{stem}"' in scripts, key


def test_flags_and_reasons_have_words() -> None:
    for language in available():
        assert {f"flag.{name}" for name in FLAGS} <= set(words_of(language))
        assert {f"skip.{name}" for name in SKIP_REASONS} <= set(words_of(language))


@pytest.mark.parametrize(
    "chosen, accepted, language",
    [
        ("", "", "en"),
        ("", "de-AT,de;q=0.9,en;q=0.8", "de"),
        ("", "en;q=0.2, ar;q=0.9", "ar"),
        ("", "xx;q=1,*;q=0.5", "en"),
        ("", "de;q=nonsense,ar", "de"),
        ("", "<script>", "en"),
        ("de", "ar", "de"),
        ("../../etc", "ar", "ar"),
        ("fr", "", "en"),
    ],
)
def test_the_persons_choice_comes_before_the_browsers(
    chosen: str, accepted: str, language: str
) -> None:
    assert choose(["en", "de", "ar"], chosen, accepted) == language


def test_a_round_in_a_language_without_texts_is_refused() -> None:
    with pytest.raises(UserError, match=r"do not speak 'xx'.*ar, de, en"):
        check_languages(("en", "xx"))
    assert check_languages(()) == ("en",)
