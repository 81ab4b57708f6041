"""What may change last bits: compared where both sides know it."""

from __future__ import annotations

import sys

import pytest
import torch

from preflab.engine.circumstances import circumstances, differences
from preflab.runtime import Device, RuntimeConfig


def test_equal_circumstances_do_not_differ() -> None:
    config = RuntimeConfig(threads=2, micro_batch=8)
    now = circumstances(config, {"torch": "2.13"})
    assert differences(now, now) == ""


def test_differences_are_listed_with_both_values() -> None:
    then = circumstances(RuntimeConfig(threads=2), {"torch": "2.12"})
    now = circumstances(RuntimeConfig(threads=4, compile=True), {"torch": "2.13"})
    said = "threads 2 (now 4), compile False (now True), torch 2.12 (now 2.13)"
    assert differences(then, now) == said


def test_the_device_is_the_one_that_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    # device=auto took the CPU, and the same command with the CPU named takes it too.
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    then = circumstances(RuntimeConfig(), {})
    assert differences(then, circumstances(RuntimeConfig(device=Device.cpu), {})) == ""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert differences(then, circumstances(RuntimeConfig(), {})) == "device cpu (now cuda)"
    # Before anything is computed it is not known, and not compared.
    monkeypatch.delitem(sys.modules, "torch")
    assert circumstances(RuntimeConfig(), {})["device"] is None


def test_what_one_side_does_not_know_is_no_difference() -> None:
    assert differences({}, {"threads": 2}) == ""
    assert differences({"threads": 2, "gone": 1}, {"threads": None}) == ""


def test_threads_are_those_that_torch_uses() -> None:
    assert circumstances(RuntimeConfig(threads=3), {})["threads"] == 3
    assert circumstances(RuntimeConfig(), {})["threads"] == torch.get_num_threads()
