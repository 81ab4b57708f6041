"""Frozen networks leave memory and come back as they were."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from preflab.errors import UserError
from preflab.heap import keep_memory
from preflab.offload import Offload
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding
from preflab.sharding import local
from processes import trained


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_weights_leave_memory_and_stay_the_same() -> None:
    frozen, shared = nn.Linear(2048, 4096), nn.Linear(64, 64)  # 8 M numbers: 33.6 MB
    frozen.register_module("inner", shared)
    inputs = torch.randn(3, 2048, generator=torch.Generator().manual_seed(1))
    before, place = frozen(inputs).detach(), shared.weight.data_ptr()
    weight = frozen.weight.detach().clone()
    offload = Offload([frozen], kept=[shared])
    assert offload.bytes == (2048 * 4096 + 4096) * 4
    assert shared.weight.data_ptr() == place  # somebody else goes on using it
    held = resident()
    offload.leave()
    assert held - resident() > 0.9 * offload.bytes
    offload.come()
    assert torch.equal(frozen(inputs).detach(), before)
    assert torch.equal(frozen.weight, weight)
    assert frozen.weight.data_ptr() % 64 == frozen.bias.data_ptr() % 64 == 0


def test_what_updates_have_freed_makes_room_for_the_weights() -> None:
    """64 MB of tensors come and go while the weights are away; malloc, which was told to keep freed
    memory, has them still. They are given back before the weights return."""
    keep_memory()
    offload = Offload([nn.Linear(64, 64)])
    offload.leave()
    tensors = [torch.ones(2**18) for _ in range(64)]
    del tensors
    held = resident()
    offload.come()
    assert held - resident() > 0.9 * 64 * 2**20


def divided(folder: Path) -> None:
    """Every process takes part in all of this; each has half of 8 M numbers, 16.8 MB."""
    runtime = Runtime(RuntimeConfig(device=Device.cpu, threads=1, sharding=Sharding.full))
    torch.manual_seed(1)
    frozen = nn.Sequential(nn.Linear(2048, 4096), nn.Linear(4096, 5)).requires_grad_(False)
    shared, inputs = nn.Linear(64, 64), torch.randn(3, 2048)
    for module in (frozen, shared):
        runtime.shard(module)
    before, after = frozen(inputs), shared(inputs[:, :64]).detach()
    offload = Offload([frozen, shared], kept=[shared])
    assert offload.bytes >= 2048 * 4096 * 4 // 2
    parts = [local(weight.detach()).untyped_storage() for weight in frozen.parameters()]
    assert sum(part.nbytes() for part in parts) == offload.bytes
    for _ in range(2):
        offload.leave()
        # Not by what is resident: malloc may keep 16.8 MB in a process that had more before.
        assert [part.nbytes() for part in parts] == [0] * len(parts)
        assert torch.equal(shared(inputs[:, :64]), after)  # somebody else goes on using it
        offload.come()
        assert torch.equal(frozen(inputs), before)
    (folder / f"{runtime.rank}").touch()


@pytest.mark.slow
def test_each_process_moves_its_part_of_divided_weights(tmp_path: Path) -> None:
    folder = trained(divided, tmp_path / "two", 2)
    assert {"0", "1"} <= {file.name for file in folder.iterdir()}


def test_no_room_for_the_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the first write beyond the disk's room is a bus error, which says nothing."""

    def full(file: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"no room for it .*leave runtime\.offload out"):
        Offload([nn.Linear(4, 4)])


def test_nothing_to_leave() -> None:
    offload = Offload(())
    offload.leave()
    offload.come()
    assert offload.bytes == 0
