"""Products of tokens with the matrix of a projection: as its module stores it, or laid out anew for decoding on a CPU.

Shapes: N tokens, I width in, O width out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

Product = Callable[[Any, torch.Tensor], torch.Tensor]
"""(projection, tokens [N, I]) -> [N, O], its bias added."""

SMALL = 2**18
"""Numbers in a matrix below which another layout gains nothing."""


def stored(projection: Any, tokens: torch.Tensor) -> torch.Tensor:
    """With the matrix where it stands. GPT-2's projections store it [I, O], linear ones [O, I]."""
    if isinstance(projection, Conv1D):
        return torch.addmm(projection.bias, tokens, projection.weight)
    return linear(tokens, projection.weight, projection.bias)


class Packed:
    """With a copy of each matrix in oneDNN's own layout, made when it is first used; no gradient.

    A decoding step multiplies few rows with every matrix of a model. MKL reads a row-major matrix slowly then: for 8 rows
    of a 135M model 1.8 (blocks) to 4 times (head) as long as oneDNN (two AMD cores). tokens: [N, I]. The copies are right
    only as long as the weights stay as they were at their first use.
    """

    def __init__(self) -> None:
        self.matrices: dict[Any, torch.Tensor] = {}

    def __call__(self, projection: Any, tokens: torch.Tensor) -> torch.Tensor:
        weight = projection.weight
        fits = weight.numel() >= SMALL and weight.dtype is tokens.dtype is torch.float32
        if not fits or torch.is_grad_enabled():
            return stored(projection, tokens)
        if projection not in self.matrices:
            rows_first = weight.t().contiguous() if isinstance(projection, Conv1D) else weight
            self.matrices[projection] = torch.ops.mkldnn._reorder_linear_weight.default(
                rows_first, len(tokens)
            )
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(
            tokens, self.matrices[projection], projection.bias, "none", [], ""
        )
        return found


def for_decoding(device: torch.device) -> Product:
    """What multiplies in the steps to come, whose weights stay as they are now."""
    plain = (
        device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )
    return Packed() if plain and available() else stored


def available() -> bool:
    """Whether torch has MKL, which is what is slow, and oneDNN, switched on and with the two operations."""
    mkl, onednn = torch.backends.mkl, torch.backends.mkldnn
    there = mkl.is_available() and onednn.is_available() and onednn.enabled  # type: ignore[no-untyped-call]
    known = all(
        hasattr(torch.ops.mkldnn, f"_{name}")
        for name in ("reorder_linear_weight", "linear_pointwise")
    )
    return bool(there and known)
