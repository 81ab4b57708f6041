"""Freed memory stays in the process until it is given back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from preflab.malloc import give_back, keep_memory

MEGABYTE = 2**20


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def freed() -> int:
    """Bytes of 64 MB of tensors that the system has again once they are gone."""
    tensors = [torch.ones(MEGABYTE // 4 * 8) for _ in range(8)]
    held = resident()
    del tensors
    return held - resident()


def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    keep_memory()
    assert freed() < 8 * MEGABYTE
    held = resident()
    give_back()
    assert held - resident() > 56 * MEGABYTE
    keep_memory(False)
    assert freed() > 56 * MEGABYTE
    keep_memory()


BESIDE = """
from framework.test_malloc import MEGABYTE, resident
import torch
from preflab.malloc import keep_memory
from preflab.optimization import Optimization, OptimizerConfig
from preflab.runtime import Device, Runtime, RuntimeConfig

runtime, module = Runtime(RuntimeConfig(device=Device.cpu, threads=1)), torch.nn.Linear(2, 2)
# What libraries take is there before.
Optimization(OptimizerConfig(), module.parameters(), 1, runtime, "some")
before = resident()
for frozen in (True, False):  # what lies free in the heap already would be taken first
    keep_memory()
    module.bias.requires_grad_(not frozen)
    Optimization(OptimizerConfig(), module.parameters(), 1, runtime, "some")
    tensors = [torch.ones(2**19) for _ in range(64)]
    del tensors
    print((resident() - before) // MEGABYTE)
"""


def test_freed_memory_goes_back_where_some_weights_are_frozen() -> None:
    """Of 128 MB, in a process of its own."""
    said = subprocess.run(
        [sys.executable, "-c", BESIDE],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    given, kept = map(int, said.stdout.split())
    assert kept > 100
    assert given < 20
