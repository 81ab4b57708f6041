"""Texts in front of others."""

from __future__ import annotations

import pytest

from preflab.errors import UserError
from preflab.prompts import check_prefix, unread_prefix
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer, word_tokenizer


def test_a_prefix_that_runs_into_the_next_word_is_refused_where_that_has_no_token() -> None:
    """Of words between white space, ":user" is none; bytes go on as they are."""
    words = word_tokenizer(["nice", ":", "user"])
    for prefix in ("nice : ", "nice :\n", ""):
        check_prefix(words, prefix, "x.above")
    with pytest.raises(UserError, match=r"x.above: 'nice :' makes one word.*'nice : '\."):
        check_prefix(words, "nice :", "x.above")
    with pytest.raises(UserError, match=r"x.above: the model has no tokens for all of 'rude : '"):
        check_prefix(words, "rude : ", "x.above")
    check_prefix(byte_tokenizer(), "nice :", "x.above")


def test_a_prefix_of_questions_alone_may_hold_unknown_words_and_is_told() -> None:
    words = word_tokenizer(["nice", ":", "user"])
    assert list(unread_prefix(words, "nice : ", "x.prefix")) == []
    (said,) = unread_prefix(words, "nice rude:", "x.prefix")
    assert said == "x.prefix is 'nice rude:', of which the policy reads 'nice'."
    with pytest.raises(UserError, match=r"x.prefix: 'nice :' makes one word"):
        list(unread_prefix(words, "nice :", "x.prefix"))
