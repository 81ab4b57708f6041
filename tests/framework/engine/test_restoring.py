"""Processes that go on from a checkpoint together: one that cannot read it stops all of them."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from preflab.engine.alike import together
from preflab.engine.loop import CheckpointConfig, Loop
from preflab.engine.parts import Parts
from preflab.errors import StorageError
from preflab.launched import is_main
from preflab.randomness import Streams
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding
from preflab.sharding import gathered
from preflab.storage import checkpoints
from preflab.storage.artifacts import STATE
from processes import trained


class Counting:
    """Adds 1 to divided weights at each of three steps."""

    total_steps = 3

    def __init__(self, runtime: Runtime) -> None:
        self.module, self.done = nn.Linear(4, 5, bias=False), 0
        nn.init.zeros_(self.module.weight)
        runtime.shard(self.module)

    def step(self, index: int) -> Mapping[str, float]:
        with torch.no_grad():
            self.module.weight += 1
        self.done += 1
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"module": self.module.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state["module"])

    def save(self, folder: Path) -> None:
        (folder / "result").write_text(str(gathered(self.module.weight)[4, 3].item()))


def run(runtime: Runtime, folder: Path, parts: bool) -> int:
    """Number of steps that were done."""
    counting = Counting(runtime)
    if is_main():
        folder.mkdir(exist_ok=True)
    runtime.gather([0])
    Loop(
        "counting",
        counting,
        Streams(1),
        folder,
        CheckpointConfig(every_steps=1, sharded=parts),
        lambda hook, **shown: None,
        runtime.agreed,
        is_main(),
        parts=Parts(runtime),
        together=lambda check: together(runtime, check),
    ).run()
    return counting.done


READS = ("_manifest", "_bytes", "file_digest", "_opened")
"""What reads a manifest, what is no tensor, digests, and tensors."""


def restored(folder: Path) -> None:
    """Every process takes part in all of this, and none waits for another without end."""
    signal.alarm(200)
    runtime = Runtime(RuntimeConfig(device=Device.cpu, threads=1, sharding=Sharding.full))
    for parts in (False, True):
        own = folder / f"parts-{parts}"
        assert run(runtime, own, parts) == 3
        for reads in READS:
            refused(runtime, own, parts, reads)
        damaged(runtime, own, parts)
        assert run(runtime, own, parts) == 2  # the second checkpoint was damaged: from the first
        assert not is_main() or (own / "result").read_text() == "3.0"
    (folder / f"{runtime.rank}").touch()


def refused(runtime: Runtime, folder: Path, parts: bool, reads: str) -> None:
    """Process 1 is refused what reads checkpoints."""
    before = getattr(checkpoints, reads)

    def refuse(file: Path, *_: Any) -> Any:
        raise StorageError(f"{file} cannot be read: no right")

    if runtime.rank == 1:
        setattr(checkpoints, reads, refuse)
    with pytest.raises(
        StorageError,
        match=r"step-000000002.* cannot be read: no right\. Not every .* process 1 of 2, .* remove",
    ):
        run(runtime, folder, parts)
    setattr(checkpoints, reads, before)
    assert len(list((folder / STATE).glob("step-*"))) == 2
    runtime.gather([0])


def damaged(runtime: Runtime, folder: Path, parts: bool) -> None:
    """Process 0 damages the newest checkpoint."""
    name = "part-00001.safetensors" if parts else "tensors.safetensors"
    file = folder / STATE / "step-000000002" / name
    if is_main():
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    runtime.gather([0])


@pytest.mark.slow
def test_one_process_that_cannot_read_a_checkpoint_stops_all(tmp_path: Path) -> None:
    folder = trained(restored, tmp_path / "two", 2)
    assert {"0", "1"} <= {file.name for file in folder.iterdir()}
