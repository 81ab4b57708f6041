"""Adapters of low rank around a projection (LoRA, Hu et al. 2021), as peft injects them: what they
add to a product, and the matrix that they come to.

Shapes: N tokens, I width in, O width out, r rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from preflab.sharding import is_divided


@dataclass(frozen=True)
class LowRank:
    """scale * b a beside the matrix of ``base``. base: the projection; a [r, I]; b [O, r]."""

    base: Any
    a: torch.Tensor
    b: torch.Tensor
    scale: float

    def of(self, tokens: torch.Tensor, outputs: slice | None = None) -> torch.Tensor:
        """What it adds to the product with tokens [N, I]: [N, O], or the chosen outputs only."""
        b = self.b if outputs is None else self.b[outputs]
        return linear(linear(tokens, self.a), b) * self.scale

    def merged(self, weight: torch.Tensor | None = None) -> torch.Tensor:
        """The matrix of base with the adapter in it, as a new tensor of base's layout. weight:
        that matrix, where base has a part of it."""
        added = (self.b @ self.a) * self.scale
        weight = self.base.weight if weight is None else weight
        return weight + (added.t() if isinstance(self.base, Conv1D) else added)


def low_rank(part: Any) -> LowRank | None:
    """The active adapter around a projection; None if there is none, or several."""
    around = part._modules.get("lora_A")
    if not isinstance(around, nn.ModuleDict) or len(part.active_adapters) != 1:
        return None
    (name,) = part.active_adapters
    if name not in around:
        return None
    a: Any = around[name]
    b: Any = part.lora_B[name]
    return LowRank(part.base_layer, a.weight, b.weight, float(part.scaling[name]))


def knows(part: Any) -> bool:
    """Whether an adapter is a plain LoRA of a projection, switched on and not merged: no DoRA or
    other variant, no bias of its own, no dropout that is on."""
    if f"{type(part).__module__}.{type(part).__name__}" != "peft.tuners.lora.layer.Linear":
        return False
    (name,) = part.active_adapters
    a, b, drop = part.lora_A[name], part.lora_B[name], part.lora_dropout[name]
    off = type(drop) is nn.Identity or (type(drop) is nn.Dropout and not (drop.training and drop.p))
    plain = all(type(m) is nn.Linear and m.bias is None and not _hooked(m) for m in (a, b))
    variant = part.lora_variant.get(name) or part.use_dora.get(name)
    weights = all(type(m.weight) is nn.Parameter or is_divided(m.weight) for m in (a, b))
    same = a.weight.dtype == b.weight.dtype == part.base_layer.weight.dtype
    # Hooks on the base projection alone would be those of its own calls.
    inside = not _hooked(part.base_layer)
    switched = not part.disable_adapters and not part.merged
    return bool(off and plain and not variant and weights and same and inside and switched)


def _hooked(part: nn.Module) -> bool:
    return bool(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks)
