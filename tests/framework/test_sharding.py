"""Without divided weights nothing is changed; with them every process has its part. What training
with them gives is in tests/end_to_end/test_sharding.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from preflab.errors import NumericError
from preflab.optimization import Optimization, OptimizerConfig
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding
from preflab.sharding import (
    copied,
    gathered,
    inside,
    is_divided,
    is_sharded,
    local,
    parted,
    whole,
)
from processes import trained


def test_whole_weights_stay_as_they_are() -> None:
    module = nn.Linear(2, 3)
    Runtime(RuntimeConfig(device=Device.cpu, sharding=Sharding.full)).shard(module)  # one process
    assert not is_sharded(module)
    assert inside(module, lambda x: x + 1, 2) == 3
    with whole(module):
        weight = module.weight
    found: Any = gathered({"a": [weight], "b": 1})
    assert found["a"][0] is weight
    assert parted(weight, weight) is weight
    assert local(weight) is weight
    assert copied(module) is not module


class Tied(nn.Module):
    """An embedding that is also the head, and two blocks; 5 rows are not divided by 2."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight


Forward = Callable[[Tied, torch.Tensor], torch.Tensor]


def divided(folder: Path) -> None:
    """Every process takes part in all of this."""
    torch.manual_seed(0)
    module, twin = Tied(), Tied()
    twin.load_state_dict(module.state_dict())
    runtime = Runtime(RuntimeConfig(device=Device.cpu, threads=1, sharding=Sharding.full))
    runtime.shard(module)
    runtime.shard(module)  # once is enough
    assert is_sharded(module)
    rows = local(module.embedding.weight).shape[0]
    assert rows == (3, 2)[runtime.rank]
    for name, value in gathered(module.state_dict()).items():
        assert torch.equal(value, twin.state_dict()[name])
    assert all(not v.numel() for v in gathered(module.state_dict(), keep=False).values())

    def forward(model: Tied, ids: torch.Tensor) -> torch.Tensor:
        x = inside(model, model.embedding.forward, ids)
        for block in model.blocks:
            x = inside(block, block.forward, x)
        return inside(model, model.head.forward, x)

    with whole(module):
        assert torch.equal(module.embedding.weight, twin.embedding.weight)
        if runtime.rank == 0:  # one process alone may compute
            assert forward(module, torch.tensor([1])).shape == (1, 5)
    one = copied(module)
    assert isinstance(one, Tied)
    assert one.head.weight is one.embedding.weight
    assert torch.equal(one.embedding.weight, twin.embedding.weight)
    module.load_state_dict({k: v + 1 for k, v in twin.state_dict().items()})
    assert torch.equal(gathered(module.head.weight.detach()), twin.head.weight + 1)
    # Sums, not means: each process has a gradient of one, the parts are of the sum.
    optimization = Optimization(OptimizerConfig(), module.parameters(), 1, runtime, "tied")
    torch.autograd.backward(inside(module, lambda: module.embedding.weight.sum()))
    gradient: Any = gathered(module.embedding.weight.grad)
    assert torch.equal(gradient, torch.full((5, 4), 2.0))
    assert abs(optimization.norm() - 20**0.5 * 2) < 1e-5
    optimization.step(0)
    # What is not finite on one process stops all, before a weight is changed.
    moved = gathered(module.state_dict())
    torch.autograd.backward(inside(module, lambda: module.embedding.weight.sum()))
    assert module.embedding.weight.grad is not None
    if runtime.rank == 1:
        local(module.embedding.weight.grad).fill_(torch.nan)
    with pytest.raises(NumericError, match="gradient of tied is not finite"):
        optimization.step(0)
    assert same(gathered(module.state_dict()), moved)
    # A copy that is divided at once has its own numbers, and is no copy of a whole one.
    with runtime.dividing():
        part = copied(module)
    assert is_sharded(part)
    assert all(map(is_divided, part.state_dict().values()))
    assert part.get_parameter("head.weight") is part.get_parameter("embedding.weight")
    assert same(gathered(part.state_dict()), gathered(module.state_dict()))
    with torch.no_grad():
        local(part.get_parameter("head.weight")).add_(1)
    assert not same(gathered(part.state_dict()), gathered(module.state_dict()))
    keeps = RuntimeConfig(device=Device.cpu, threads=1, sharding=Sharding.full, reshard=False)
    keeps_between_passes(Runtime(keeps), forward)
    (folder / f"{runtime.rank}").touch()


def keeps_between_passes(runtime: Runtime, forward: Forward) -> None:
    """runtime.reshard=false: a block's weights stay whole from its forward pass to its backward
    pass, and nowhere else; the gradient is that of whole weights, once from each process."""
    module, twin, ids = Tied(), Tied(), torch.tensor([1, 4])
    twin.load_state_dict(module.state_dict())
    runtime.shard(module)
    optimization = Optimization(OptimizerConfig(), module.parameters(), 1, runtime, "kept")
    assert all(map(is_divided, module.parameters()))
    with torch.no_grad():
        forward(module, ids)
    assert all(map(is_divided, module.parameters()))
    loss = forward(module, ids).square().sum()
    assert not is_divided(module.get_parameter("blocks.0.weight"))
    torch.autograd.backward(loss)
    torch.autograd.backward(forward(twin, ids).square().sum())
    assert all(map(is_divided, module.parameters()))
    for name, parameter in twin.named_parameters():
        gradient: Any = gathered(module.get_parameter(name).grad)
        alone: Any = parameter.grad
        assert torch.allclose(gradient, 2 * alone)
    optimization.step(0)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_two_processes_have_their_parts(tmp_path: Path) -> None:
    folder = trained(divided, tmp_path / "two", 2)
    assert sorted(file.name for file in folder.iterdir()) == ["0", "1"]
