"""Freed memory stays in the process until it is given back."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from preflab.malloc import give_back, keep_memory
from preflab.optimization import Optimization, OptimizerConfig
from preflab.runtime import Device, Runtime, RuntimeConfig
from processes import trained

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


def freed_beside(folder: Path) -> None:
    """Leaves how many of 128 MB are there after they are freed: kept, and with a frozen weight."""
    runtime, module = Runtime(RuntimeConfig(device=Device.cpu, threads=1)), torch.nn.Linear(2, 2)
    # What libraries take is there before.
    Optimization(OptimizerConfig(), module.parameters(), 1, runtime, "some")
    found, before = list[str](), resident() / MEGABYTE
    for frozen in (False, True):
        keep_memory()
        module.bias.requires_grad_(not frozen)
        Optimization(OptimizerConfig(), module.parameters(), 1, runtime, "some")
        tensors = [torch.ones(2**19) for _ in range(64)]
        del tensors
        found.append(str(resident() / MEGABYTE - before))
    (folder / "found").write_text(" ".join(found))


def test_freed_memory_goes_back_where_some_weights_are_frozen(tmp_path: Path) -> None:
    kept, given = map(
        float, (trained(freed_beside, tmp_path / "one", 1) / "found").read_text().split()
    )
    assert kept > 100
    assert given < 20
