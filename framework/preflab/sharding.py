"""Weights divided among the processes of a job, by torch's ``fully_shard``.

Each process holds its part of every weight, gradient and moment. A *unit*, one block of the model
or the rest of it, is whole only while it computes: its parts are gathered before, and its gradients
summed (never averaged) into the parts behind. So every process takes part in every pass.

Code that reads a module's weights itself, without calling the module, computes within `inside`.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import nn

T = TypeVar("T")
_RUN, _EMPTY = "run_inside", "without_weights"


def shard(module: nn.Module, world: int, reshard: bool, device: str) -> None:
    """Divide a module in place. Its parameters are other objects afterwards: optimizers come
    later. reshard: let go of a unit's weights after the forward pass too, and gather them once
    more for the backward pass. device: "cpu" or "cuda"."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    empty = _without_weights(module)
    mesh = init_device_mesh(device, (world,))
    # The whole module and not its trunk: a head outside of it would come untied from the embedding.
    for unit in (*_blocks(module), module):
        sharded = fully_shard(unit, mesh=mesh, reshard_after_forward=reshard)
        # Sums, as everywhere: losses are divided by one global number. A mean is not what gloo
        # computes (pytorch 162338), and a factor of 1 alone it refuses (pytorch 155915).
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)
        setattr(unit, _RUN, _run)
        register_fsdp_forward_method(unit, _RUN)
    object.__setattr__(module, _EMPTY, (empty, reshard))  # no part of the module
    module.register_load_state_dict_pre_hook(_divide)  # type: ignore[no-untyped-call]
    inside(module, _nothing)  # torch takes for the root what runs first


def is_sharded(module: nn.Module) -> bool:
    """Whether `shard` has divided it."""
    return _EMPTY in module.__dict__


def inside(unit: nn.Module, function: Callable[..., T], *arguments: Any) -> T:
    """``function(*arguments)`` while the weights of a unit are whole. What needs a gradient is
    given as an argument: torch finds it there."""
    run = unit.__dict__.get(_RUN)
    result: T = function(*arguments) if run is None else run(function, *arguments)
    return result


@contextlib.contextmanager
def whole(module: nn.Module) -> Iterator[None]:
    """Within it the weights of a divided module are whole on every process: gathered once, for many
    passes of which each process may do as many as it likes. No gradients."""
    units = _units(module)
    if not units:
        yield
        return
    import torch

    runs = [unit.__dict__.pop(_RUN) for unit in units]
    reshard = module.__dict__[_EMPTY][1]
    with torch.no_grad():
        for unit in units:
            unit.unshard()
    units[0].set_reshard_after_forward(False)
    try:
        yield
    finally:
        units[0].set_reshard_after_forward(reshard)
        for unit, run in zip(units, runs, strict=True):
            setattr(unit, _RUN, run)
            unit.reshard()


def gathered(value: T, keep: bool = True) -> T:
    """A tree of dicts and lists in which every divided tensor is whole, on the CPU. Every process
    takes part. keep: False for a process that needs none: they are empty there."""
    if isinstance(value, dict):
        return {name: gathered(part, keep) for name, part in value.items()}  # type: ignore[return-value]
    if isinstance(value, (list, tuple)):
        return type(value)(gathered(part, keep) for part in value)
    return _whole(value, keep) if is_divided(value) else value


def is_divided(value: Any) -> bool:
    """Whether a value is a tensor of which each process holds a part."""
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and isinstance(value, tensors.DTensor)


def parted(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """This process's part of a whole tensor, on the device of ``like`` and divided as it is; the
    tensor itself if that is not divided or has another shape."""
    if not is_divided(like) or is_divided(value) or value.shape != like.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    tensor: Any = like
    return distribute_tensor(
        value.to(like.device), tensor.device_mesh, tensor.placements, src_data_rank=None
    )


def local(value: torch.Tensor) -> torch.Tensor:
    """What this process holds of a tensor."""
    tensor: Any = value
    part: torch.Tensor = tensor.to_local() if is_divided(value) else value
    return part


def copied(module: nn.Module, keep: bool = True) -> nn.Module:
    """An independent copy; of a divided module a whole one, for which every process takes part.
    keep: False for a process that needs none: its copy has no weights."""
    if not is_sharded(module):
        return copy.deepcopy(module)
    from torch import nn

    empty, _ = module.__dict__[_EMPTY]
    parameters = dict(module.named_parameters())
    made: dict[int, Any] = {}
    for name, without in empty.named_parameters():
        value = _whole(parameters[name].detach(), keep, to=parameters[name].device)
        made[id(without)] = (
            nn.Parameter(value, requires_grad=without.requires_grad) if keep else without
        )
    twin: nn.Module = copy.deepcopy(empty, made)
    return twin


def is_hook_of_sharding(hook: Any) -> bool:
    """Whether a hook on a module is one that divides its weights: it changes no number."""
    owner = type(getattr(hook, "__self__", None))
    return owner.__module__.startswith("torch.distributed.fsdp")


def _run(function: Callable[..., T], *arguments: Any) -> T:
    return function(*arguments)


def _nothing() -> None:
    """Runs first."""


def _units(module: nn.Module) -> list[Any]:
    """The divided parts, the whole module first."""
    return [part for part in module.modules() if hasattr(part, "set_reshard_after_forward")]


def _blocks(module: nn.Module) -> list[nn.Module]:
    """The blocks of a model: its first list of modules."""
    from torch import nn

    return next((list(m) for m in module.modules() if isinstance(m, nn.ModuleList)), [])


def _without_weights(module: nn.Module) -> nn.Module:
    """A copy that has shapes, buffers and ties, and no weights."""
    import torch
    from torch import nn

    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        empty = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    return copy.deepcopy(module, memo)


def _whole(value: Any, keep: bool, to: Any = "cpu") -> Any:
    full = value.detach().full_tensor()
    return full.to(to) if keep else full.new_empty(0)


def _divide(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Before weights are loaded: the part of each."""
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if prefix + name in state:
            state[prefix + name] = parted(state[prefix + name], parameter)
