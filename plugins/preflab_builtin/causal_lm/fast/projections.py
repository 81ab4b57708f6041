"""Products of tokens with the matrix of a projection: as the module stores it, or, for decoding on
a CPU, with a copy in a layout that is faster for few rows.

Shapes: N tokens, I width in, O width out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from preflab_builtin.causal_lm.fast.low_rank import LowRank, low_rank

Project = Callable[[Any, torch.Tensor], torch.Tensor]
"""(projection, tokens [N, I]) -> [N, O], with the bias added."""

SMALLEST_MATRIX = 2**18
"""Numbers in a matrix below which another layout gains nothing."""


class Weights(NamedTuple):
    """What a part of a block, a norm or a projection, computes with, without its module: an
    argument of a compiled call.

    transposed: a matrix is stored as [I, O]; adapter: the one around it, without its base.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    transposed: bool
    adapter: LowRank | None

    @staticmethod
    def of(part: Any) -> Weights:
        """Those of a module."""
        adapter = low_rank(part)
        base = part if adapter is None else adapter.base
        without = None if adapter is None else replace(adapter, base=None)
        bias = base._parameters.get("bias")  # an RMSNorm has none
        return Weights(base.weight, bias, isinstance(base, Conv1D), without)


def adapter_of(part: Any) -> LowRank | None:
    """The adapter around a projection, which is a module or its `Weights`."""
    return part.adapter if isinstance(part, Weights) else low_rank(part)


def project(projection: Any, tokens: torch.Tensor, outputs: slice | None = None) -> torch.Tensor:
    """With the matrix as the module stores it: [I, O] in GPT-2's projections, [O, I] in linear
    ones; and what an adapter adds. projection: a module, or its `Weights`; outputs: which ones are
    wanted."""
    base, adapter = projection, adapter_of(projection)
    if adapter is not None and not isinstance(projection, Weights):
        base = adapter.base
    product = _product(base, tokens, outputs)
    return product if adapter is None else product + adapter.of(tokens, outputs)


def _product(projection: Any, tokens: torch.Tensor, outputs: slice | None) -> torch.Tensor:
    weight, bias = projection.weight, projection.bias
    if isinstance(projection, Weights):
        transposed = projection.transposed
    else:
        transposed = isinstance(projection, Conv1D)
    if outputs is not None:
        weight = weight[:, outputs] if transposed else weight[outputs]
        bias = None if bias is None else bias[outputs]
    return torch.addmm(bias, tokens, weight) if transposed else linear(tokens, weight, bias)


class MergedProjections:
    """With a copy of each matrix that has an adapter, the adapter in it, made at its first use; no
    gradient. The copies are right only while the weights do not change."""

    def __init__(self) -> None:
        self.merged: dict[Any, Any] = {}
        """By projection, itself where it has no adapter."""

    def __call__(self, projection: Any, tokens: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            return project(projection, tokens)
        return _product(self.plain(projection), tokens, None)

    def plain(self, projection: Any) -> Any:
        """A projection without an adapter that gives the same products."""
        if projection not in self.merged:
            plain, adapter = projection, low_rank(projection)
            if adapter is not None:
                plain = copy.copy(adapter.base)
                merged = nn.Parameter(adapter.merged(), requires_grad=False)
                plain._parameters = {**adapter.base._parameters, "weight": merged}
            self.merged[projection] = plain
        return self.merged[projection]


class ReorderedProjections:
    """With a copy of each matrix in oneDNN's own layout, made at its first use; no gradient.

    A decoding step multiplies few rows with every matrix of a model. MKL reads a row-major matrix
    slowly then: for 8 rows of a 135M model it takes 1.8 times (blocks) to 4 times (head) as long as
    oneDNN (two AMD cores). The copies are right only while the weights do not change.
    """

    def __init__(self) -> None:
        self.matrices: dict[Any, torch.Tensor] = {}
        self.merged = MergedProjections()

    def __call__(self, projection: Any, tokens: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            return project(projection, tokens)
        projection = self.merged.plain(projection)
        weight = projection.weight
        fits = weight.numel() >= SMALLEST_MATRIX and weight.dtype is tokens.dtype is torch.float32
        if not fits:
            return _product(projection, tokens, None)
        if projection not in self.matrices:
            rows_first = weight.t().contiguous() if isinstance(projection, Conv1D) else weight
            self.matrices[projection] = torch.ops.mkldnn._reorder_linear_weight.default(
                rows_first, len(tokens)
            )
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(
            tokens, self.matrices[projection], projection.bias, "none", [], ""
        )
        return out


def projections_for_decoding(device: torch.device) -> Project:
    """What multiplies in the decoding steps to come, during which the weights do not change."""
    plain_cpu = (
        device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )
    if plain_cpu and reordering_available():
        return ReorderedProjections()
    return MergedProjections()


def reordering_available() -> bool:
    """Whether torch has MKL (which is what is slow) and oneDNN, switched on and with both
    operations."""
    mkl, onednn = torch.backends.mkl, torch.backends.mkldnn
    usable = mkl.is_available() and onednn.is_available() and onednn.enabled  # type: ignore[no-untyped-call]
    known = all(
        hasattr(torch.ops.mkldnn, f"_{name}")
        for name in ("reorder_linear_weight", "linear_pointwise")
    )
    return bool(usable and known)
