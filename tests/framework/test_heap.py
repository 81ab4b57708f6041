"""Freed memory stays for the next tensors, but not where few weights are trained."""

from __future__ import annotations

from pathlib import Path

import torch

from preflab.heap import keep_memory
from preflab.optimization import Optimization, OptimizerConfig
from preflab.runtime import Device, Runtime, RuntimeConfig
from processes import trained


def held() -> float:
    """MB of this process now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(x for x in lines if x.startswith("VmRSS")).split()[1]) / 1024


def freed(folder: Path) -> None:
    """Leaves how many of 128 MB are there after they are freed: kept, and with a frozen weight."""
    runtime, module = Runtime(RuntimeConfig(device=Device.cpu, threads=1)), torch.nn.Linear(2, 2)
    # What libraries take is there before.
    Optimization(OptimizerConfig(), module.parameters(), 1, runtime, "some")
    found, before = list[str](), held()
    for frozen in (False, True):
        keep_memory()
        module.bias.requires_grad_(not frozen)
        Optimization(OptimizerConfig(), module.parameters(), 1, runtime, "some")
        tensors = [torch.ones(2**19) for _ in range(64)]
        del tensors
        found.append(str(held() - before))
    (folder / "found").write_text(" ".join(found))


def test_freed_memory_goes_back_where_some_weights_are_frozen(tmp_path: Path) -> None:
    kept, given = map(float, (trained(freed, tmp_path / "one", 1) / "found").read_text().split())
    assert kept > 100
    assert given < 20
