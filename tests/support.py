"""Shared by the tests of this repository: the tiny fixtures of `preflab.testing`, and gradients
as plain tensors.

context = FakeContext(tmp_path, records=[Prompt("1", "add one two", split="train")],
vocabulary=WORDS) procedure = Pretraining(PretrainConfig(steps=2), context)
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from preflab.testing import WORDS, FakeContext, cpu_runtime
from preflab.testing import component as builtin

__all__ = [
    "WORDS",
    "FakeContext",
    "UncheckedReward",
    "builtin",
    "cpu_runtime",
    "gradients",
    "largest_difference",
    "represented_by",
]

torch.set_num_threads(1)


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of all gradients, by parameter name."""
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def largest_difference(
    first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]
) -> float:
    """The largest absolute difference between tensors of the same names."""
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)
