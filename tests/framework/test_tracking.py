"""What trackers share."""

from __future__ import annotations

import math

import pytest

from preflab.errors import UserError
from preflab.tracking import Sample, finite, number, require, sample_row


def test_a_package_that_is_missing_is_told_with_the_cure() -> None:
    require("mine", "json", "mine")
    with pytest.raises(
        UserError, match=r"tracker 'mine' needs the package no_such.*preflab\[some\]"
    ):
        require("mine", "no_such", "some")


def test_null_is_a_number_that_is_not_finite() -> None:
    assert math.isnan(number(None))
    assert finite({"a": number(2), "b": math.inf, "c": number(None)}) == {
        "a": 2.0,
        "b": None,
        "c": None,
    }


def test_a_sample_as_a_row() -> None:
    sample = Sample("p", "question", "answer", False, 3, {"kl": math.nan})
    assert sample_row("algorithm", 2, sample) == {
        "stage": "algorithm",
        "step": 2,
        "prompt_id": "p",
        "prompt": "question",
        "response": "answer",
        "terminated": False,
        "tokens": 3,
        "kl": None,
    }
