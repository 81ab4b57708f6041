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
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import nn

T = TypeVar("T")
Rows = Callable[[str, int, int], "torch.Tensor"]
"""Some rows of a weight: its name, the first row, and the one behind the last."""
_RUN, _EMPTY = "run_inside", "without_weights"


@dataclass(frozen=True)
class Division:
    """How weights are divided. world: number of processes; reshard: let go of a unit's weights
    after the forward pass too, and gather them once more for the backward pass; device: "cpu" or
    "cuda"."""

    world: int
    reshard: bool
    device: str


_current: ContextVar[Division | None] = ContextVar("division", default=None)
_found: ContextVar[list[nn.Module] | None] = ContextVar("found", default=None)


@contextlib.contextmanager
def dividing(division: Division | None) -> Iterator[None]:
    """Within it models are divided as they are read from a folder or copied, so that no process
    ever holds a whole one. Every process takes part. None: they are whole."""
    before = _current.set(division)
    try:
        yield
    finally:
        _current.reset(before)


@contextlib.contextmanager
def noticing() -> Iterator[list[nn.Module]]:
    """The modules that are divided within it: who has one takes part in all of its passes."""
    found: list[nn.Module] = []
    before = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(before)


def current_division() -> Division | None:
    """That of `dividing`; None outside of it."""
    return _current.get()


def shard(module: nn.Module, division: Division, rows: Rows | None = None) -> None:
    """Divide a module in place. Its parameters are other objects afterwards: optimizers come
    later. rows: gives the numbers of weights that have none yet (on torch's device "meta"); each
    process asks for its own."""
    import torch
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    empty = outline(module)
    mesh = _mesh(division.device, division.world)
    # The whole module and not its trunk: a head outside of it would come untied from the embedding.
    for unit in (*_blocks(module), module):
        sharded = fully_shard(unit, mesh=mesh, reshard_after_forward=division.reshard)
        # Sums, as everywhere: losses are divided by one global number. A mean is not what gloo
        # computes (pytorch 162338), and a factor of 1 alone it refuses (pytorch 155915).
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)
        setattr(unit, _RUN, _run)
        register_fsdp_forward_method(unit, _RUN)
    if rows is not None:
        _fill(module, rows, division)
    object.__setattr__(module, _EMPTY, (empty, division))  # no part of the module
    if (found := _found.get()) is not None:
        found.append(module)
    module.register_load_state_dict_pre_hook(_divide)  # type: ignore[no-untyped-call]
    with torch.no_grad():  # else the parameters would be whole ones where nothing is let go of
        inside(module, _nothing)  # torch takes for the root what runs first


def is_sharded(module: nn.Module) -> bool:
    """Whether `shard` has divided it."""
    return _EMPTY in module.__dict__


def division_of(module: nn.Module) -> Division:
    """How a divided module is divided."""
    division: Division = module.__dict__[_EMPTY][1]
    return division


def inside(unit: nn.Module, function: Callable[..., T], *arguments: Any) -> T:
    """``function(*arguments)`` while the weights of a unit are whole. What needs a gradient is
    given as an argument: torch finds it there."""
    import torch

    run = unit.__dict__.get(_RUN)
    result: T = function(*arguments) if run is None else run(function, *arguments)
    if run is not None and not torch.is_grad_enabled():
        for part in _units(unit):  # no backward pass needs the weights, whatever `reshard` says
            part.reshard()
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
    reshard = division_of(module).reshard
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
    """This process's part of a whole tensor, as a copy on the device of ``like`` and divided as it
    is; the tensor itself if that is not divided or has another shape."""
    if not is_divided(like) or is_divided(value) or value.shape != like.shape:
        return value
    tensor: Any = like
    return _of_rows(lambda first, end: value[first:end].clone(), value.shape, tensor.device_mesh)


def local(value: torch.Tensor) -> torch.Tensor:
    """What this process holds of a tensor."""
    tensor: Any = value
    part: torch.Tensor = tensor.to_local() if is_divided(value) else value
    return part


def summed(totals: torch.Tensor) -> torch.Tensor:
    """What each process counted in its parts, summed over the processes."""
    import torch

    totals = totals.clone()
    torch.distributed.all_reduce(totals)
    return totals


def divided(
    rows: Callable[[int, int], torch.Tensor], shape: Sequence[int], division: Division
) -> torch.Tensor:
    """A divided tensor of which each process gives its own rows: from one to below another."""
    return _of_rows(rows, shape, _mesh(division.device, division.world))


def _of_rows(
    rows: Callable[[int, int], torch.Tensor], shape: Sequence[int], mesh: Any
) -> torch.Tensor:
    import torch
    from torch.distributed.tensor import DTensor, Shard

    each, rank = -(-shape[0] // mesh.size()), mesh.get_local_rank()
    first, end = (min(n * each, shape[0]) for n in (rank, rank + 1))
    own = rows(first, end).to(mesh.device_type)
    assert own.shape == (end - first, *shape[1:]), f"{tuple(own.shape)} of {tuple(shape)}"
    whole_like = torch.empty(shape, device="meta")
    return DTensor.from_local(
        own, mesh, [Shard(0)], run_check=False, shape=whole_like.shape, stride=whole_like.stride()
    )


def copied(module: nn.Module, keep: bool = True) -> nn.Module:
    """An independent copy; of a divided module a whole one, for which every process takes part, but
    within `dividing` a divided one. keep: False for a process that needs none: its copy has no
    weights."""
    if not is_sharded(module):
        return copy.deepcopy(module)
    from torch import nn

    if (division := current_division()) is not None:
        twin, rows = outline(module), rows_of(module)
        shard(twin, division, lambda *which: rows(*which).clone())
        return twin
    empty, _ = module.__dict__[_EMPTY]
    parameters = dict(module.named_parameters())
    made: dict[int, Any] = {}
    for name, without in empty.named_parameters():
        value = _whole(parameters[name].detach(), keep, to=parameters[name].device)
        made[id(without)] = (
            nn.Parameter(value, requires_grad=without.requires_grad) if keep else without
        )
    whole_copy: nn.Module = copy.deepcopy(empty, made)
    return whole_copy


def outline(module: nn.Module) -> nn.Module:
    """A copy that has shapes, buffers and ties, and no weights."""
    import torch
    from torch import nn

    source = module.__dict__[_EMPTY][0] if is_sharded(module) else module
    memo: dict[int, Any] = {}
    for parameter in source.parameters():
        empty = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    twin: nn.Module = copy.deepcopy(source, memo)
    return twin


def rows_of(module: nn.Module) -> Rows:
    """What this process holds of a divided module's weights, for `shard` to give to a module that
    is divided in the same way. The two share memory."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    return lambda name, first, end: local(parameters[name].detach())


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


@cache
def _mesh(device: str, world: int) -> Any:
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh(device, (world,))


def _fill(module: nn.Module, rows: Rows, division: Division) -> None:
    """Give numbers to the divided weights that have none; tied ones stay one parameter."""
    from torch import nn

    made: dict[int, Any] = {}
    state: dict[str, Any] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if parameter.is_meta and id(parameter) not in made:
            value = divided(partial(rows, name), parameter.shape, division)
            made[id(parameter)] = nn.Parameter(value, requires_grad=parameter.requires_grad)
        if parameter.is_meta:
            state[name] = made[id(parameter)]
    module.load_state_dict(state, strict=False, assign=True)


def _whole(value: Any, keep: bool, to: Any = "cpu") -> Any:
    full = value.detach().full_tensor()
    return full.to(to) if keep else full.new_empty(0)


def _divide(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Before weights are loaded: the part of each."""
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if prefix + name in state:
            state[prefix + name] = parted(state[prefix + name], parameter)
