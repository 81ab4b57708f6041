"""The whole network by name, and a text that stands for its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import nn

from preflab_builtin.causal_lm.adapters import has_adapters, without_adapters


def whole_weights(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of a module's state, under each of its names: save_pretrained leaves out the
    second name of a tied tensor, with which a reader that holds both apart keeps an old one. What
    adapters learned is in the matrices."""
    whole = without_adapters(module, merged=True) if has_adapters(module) else module
    for name, tensor in whole.state_dict().items():
        yield name, tensor.detach()


def version(module: nn.Module) -> str:
    """16 hexadecimal digits of the names, shapes and bits of a module's weights. The bits are
    summed as whole numbers, which is as fast as memory and exact in any order: one changed bit
    changes the sum. (torch's own counters of changes do not see a fused optimizer.)"""
    state = module.state_dict()
    parts = [(name, tensor.shape, _sum_of_bits(tensor.detach())) for name, tensor in state.items()]
    sums = torch.stack([total for *_, total in parts]).tolist() if parts else []
    facts = [f"{name} {tuple(shape)} {n}" for (name, shape, _), n in zip(parts, sums, strict=True)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _sum_of_bits(tensor: torch.Tensor) -> torch.Tensor:
    """The sum modulo 2^64 of a tensor's bytes, eight at a time, and of what is left over: an int64
    number."""
    data = tensor.contiguous().view(-1).view(torch.uint8)
    whole = data.numel() // 8 * 8
    total = data[:whole].view(torch.int64).sum()
    return total + data[whole:].sum() if whole < data.numel() else total
