"""What may change last bits: compared where both sides know it."""

from __future__ import annotations

from preflab.engine.circumstances import circumstances, differences
from preflab.runtime import RuntimeConfig


def test_equal_circumstances_do_not_differ() -> None:
    config = RuntimeConfig(threads=2, micro_batch=8)
    now = circumstances(config, {"torch": "2.13"})
    assert differences(now, now) == ""


def test_differences_are_listed_with_both_values() -> None:
    then = circumstances(RuntimeConfig(threads=2), {"torch": "2.12"})
    now = circumstances(RuntimeConfig(threads=4), {"torch": "2.13"})
    assert differences(then, now) == "threads 2 (now 4), torch 2.12 (now 2.13)"


def test_what_one_side_does_not_know_is_no_difference() -> None:
    assert differences({}, {"threads": 2}) == ""
    assert differences({"threads": 2, "gone": 1}, {"threads": None}) == ""
