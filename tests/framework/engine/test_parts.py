"""Checkpoints of which each process writes its part. What training with them gives is in
tests/end_to_end/test_sharding.py."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from preflab.engine.parts import Parts
from preflab.errors import StorageError
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding
from preflab.sharding import gathered, is_divided, local, parted
from preflab.storage import checkpoints
from processes import trained


def divided(folder: Path) -> None:
    """Every process takes part in all of this."""
    torch.manual_seed(0)
    runtime = Runtime(RuntimeConfig(device=Device.cpu, threads=1, sharding=Sharding.full))
    module = nn.Linear(4, 5)  # 5 rows are 3 and 2
    runtime.shard(module)
    state: Any = {"model": module.state_dict(), "numbers": [1, torch.ones(2)]}
    saved(folder / "checkpoints", runtime, state, module)
    refused(folder / "refused", runtime)
    (folder / f"{runtime.rank}").touch()


def saved(root: Path, runtime: Runtime, state: Any, module: nn.Linear) -> None:
    """Each process writes its part, and reads it again; a file that is damaged is told by all."""
    parts = Parts(runtime)
    whole = gathered(state)["model"]
    folder = parts.save(root, 1, state, {"a": "fact"})
    assert checkpoints.facts(folder) == {"a": "fact"}
    step, again = parts.load(folder)
    assert step == 1
    assert all(map(is_divided, again["model"].values()))
    assert same(gathered(again["model"]), whole)
    assert same(checkpoints.load(folder)[1]["model"], whole)
    assert torch.equal(again["numbers"][1], torch.ones(2))
    sizes = [(folder / f"part-0000{i}.safetensors").stat().st_size for i in range(2)]
    assert sizes[0] > sizes[1]  # 3 and 2 rows
    if runtime.rank == 0:
        checkpoints.save(root, 2, {"model": whole})
    runtime.gather([0])
    _, alone = parts.load(root / "step-000000002")  # process 0 wrote it alone
    assert same(alone["model"], whole)
    part = parted(alone["model"]["weight"], module.weight)
    assert torch.equal(local(part), local(module.weight))
    assert local(part).untyped_storage().nbytes() == local(part).nbytes  # its own rows only
    if runtime.rank == 1:
        file = folder / "part-00000.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    runtime.gather([0])
    for load in (parts.load, checkpoints.load):
        with pytest.raises(StorageError, match=r"part-00000\.safetensors does not match"):
            load(folder)


def refused(folder: Path, runtime: Runtime) -> None:
    """A disk that refuses one process stops all of them, and nothing is left."""
    if runtime.rank == 1:

        def full(*_: Any) -> dict[str, str]:
            raise OSError(errno.ENOSPC, "No space left on device", "part")

        setattr(checkpoints, "write_parts", full)  # noqa: B010
    with pytest.raises(StorageError, match="No space left on device"):
        Parts(runtime).save(folder, 1, {}, {})
    runtime.gather([0])
    assert not list(folder.iterdir())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_each_process_writes_and_reads_its_part(tmp_path: Path) -> None:
    folder = trained(divided, tmp_path / "two", 2)
    assert {"0", "1"} <= {file.name for file in folder.iterdir()}
