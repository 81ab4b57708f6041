"""A gradient that is not finite changes no weight: the guard is before the optimizer."""

from __future__ import annotations

import pytest
import torch

from preflab.errors import NumericError
from preflab.optimization import Optimization, OptimizerConfig
from preflab.runtime import Runtime, RuntimeConfig


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_gradient_that_is_not_finite_changes_no_weight(bad: float) -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimization = Optimization(OptimizerConfig(), [weight], 10, Runtime(RuntimeConfig()), "policy")
    weight.grad = torch.tensor([0.5, bad])
    with pytest.raises(NumericError, match="gradient of policy is not finite"):
        optimization.step(0)
    assert weight.tolist() == [1.0, 2.0]
    assert optimization.state_dict() == {}  # nor is anything kept of it
    assert weight.grad is None
    weight.grad = torch.tensor([0.5, 0.5])
    optimization.step(0)
    assert weight.tolist() != [1.0, 2.0]
