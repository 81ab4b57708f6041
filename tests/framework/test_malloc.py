"""Freed memory stays in the process until it is given back; where few weights are trained, it does
not stay. In processes of their own: what lies free in a heap already would be taken first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

START = """
import os
import torch
from pathlib import Path
from preflab.malloc import give_back, keep_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

def freed():  # MB of 128 that the system has again once tensors of 2 MB are gone
    tensors = [torch.ones(2**19) for _ in range(64)]
    held = resident()
    del tensors
    return held - resident()

"""


def said(code: str) -> list[int]:
    """The numbers that a process prints."""
    done = subprocess.run(
        [sys.executable, "-c", START + code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(line) for line in done.stdout.split()]


def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    given, kept, later = said("""
keep_memory(False)
print(freed())
keep_memory()
print(freed())
held = resident()
give_back()
print(held - resident())
""")
    assert given > 120
    assert kept < 8
    assert later > 120


def test_freed_memory_goes_back_where_some_weights_are_frozen() -> None:
    given, kept = said("""
from preflab.optimization import Optimization, OptimizerConfig
from preflab.runtime import Device, Runtime, RuntimeConfig

runtime, module = Runtime(RuntimeConfig(device=Device.cpu, threads=1)), torch.nn.Linear(2, 2)
# What libraries take is there before.
Optimization(OptimizerConfig(), module.parameters(), 1, runtime, "some")
for frozen in (True, False):
    keep_memory()
    module.bias.requires_grad_(not frozen)
    Optimization(OptimizerConfig(), module.parameters(), 1, runtime, "some")
    print(freed())
""")
    assert given > 120
    assert kept < 8
