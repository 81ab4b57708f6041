"""Shared by the tests: the tiny fixtures of `preflab.testing`, gradients, representative cases.

context = FakeContext(tmp_path, records=[Prompt("1", "add one two", split="train")],
vocabulary=WORDS) procedure = Pretraining(PretrainConfig(steps=2), context)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import torch

from preflab.records import Prompt, Rollout
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


class UncheckedReward:
    """A reward model from a function that may return nan, which `FunctionReward` refuses."""

    def __init__(self, function: Callable[[Prompt, str], float]) -> None:
        self.function = function

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        return torch.tensor([*map(self.function, rollout.prompts, rollout.texts)])


def represented_by(representatives: Iterable[Any], cases: Iterable[Any]) -> list[Any]:
    """Cases for ``parametrize``: `make test` runs the representatives, `make reliability` all."""
    chosen = set(representatives)
    return [
        case
        if case in chosen
        else pytest.param(
            *(case if isinstance(case, tuple) else [case]), marks=pytest.mark.reliability
        )
        for case in cases
    ]
