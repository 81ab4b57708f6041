"""The whole network by name, and a text that stands for its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from preflab.launched import is_main
from preflab.sharding import gathered, is_divided, is_sharded, local, summed
from preflab_builtin.causal_lm import quantised
from preflab_builtin.causal_lm.adapters import has_adapters, without_adapters
from preflab_builtin.causal_lm.fast.low_rank import low_rank

_WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Whole numbers with as many bytes as a number of a weight."""


def whole_weights(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of a module's state, under each of its names: save_pretrained leaves out the
    second name of a tied tensor, with which a reader that holds both apart keeps an old one. What
    adapters learned is in the matrices, and matrices in 4 bits are float32.

    Divided weights are gathered one tensor at a time: every process reads all, and those behind the
    first one get empty tensors."""
    if is_sharded(module):
        yield from _gathered_weights(module)
        return
    plain = not has_adapters(module) and next(quantised.parts(module), None) is None
    whole = module if plain else without_adapters(module, merged=True)
    for name, tensor in whole.state_dict().items():
        yield name, tensor.detach()


def _gathered_weights(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    keep, adapters = is_main(), {}
    for name, part in module.named_modules():
        if (adapter := low_rank(part)) is not None:
            adapters[f"{name}.weight"] = adapter
    plain = without_adapters(module) if adapters else module
    for name, tensor in plain.state_dict().items():
        if (adapter := adapters.get(name)) is None:
            yield name, gathered(tensor.detach(), keep)
            continue
        a, b = (gathered(factor.detach(), keep) for factor in (adapter.a, adapter.b))
        weight = gathered(adapter.base.weight.detach(), keep)
        yield name, replace(adapter, a=a, b=b).merged(weight) if keep else weight


def version(module: nn.Module) -> str:
    """16 hexadecimal digits of the names, shapes and bits of a module's weights. The bits are
    summed as whole numbers, which is as fast as memory and exact in any order: one changed bit
    changes the sum, and divided weights have that of whole ones. Every process takes part in it.
    (torch's own counters of changes do not see a fused optimizer.)"""
    state = {name: tensor.detach() for name, tensor in module.state_dict().items()}
    state |= quantised.tensors(module)  # which states leave out
    sums = {name: _sum_of_bits(local(tensor)) for name, tensor in state.items()}
    if divided := [name for name, tensor in state.items() if is_divided(tensor)]:
        totals = summed(torch.stack([sums[name] for name in divided]))
        sums |= dict(zip(divided, totals, strict=True))
    numbers = torch.stack(list(sums.values())).tolist() if sums else []
    facts = [f"{k} {tuple(t.shape)} {n}" for (k, t), n in zip(state.items(), numbers, strict=True)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _sum_of_bits(tensor: torch.Tensor) -> torch.Tensor:
    """The sum modulo 2^64 of a tensor's bits, read as whole numbers: an int64 number. It is that of
    any parts of the tensor, each of some rows, added up: eight bytes are one number where rows have
    a multiple of them, and elsewhere each number of the tensor is one, which is 30 times as slow
    (norms and biases)."""
    row = tensor.shape[1:].numel() * tensor.element_size()
    whole = torch.int64 if row and row % 8 == 0 else _WORDS[tensor.element_size()]
    return tensor.contiguous().view(whole).sum()
