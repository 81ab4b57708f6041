"""The optimizer: schedule, clip, guard, gradient terms, and its state."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch

from preflab import NumericError
from preflab.optimization import (
    Optimization,
    OptimizerConfig,
    Schedule,
    learning_rate_factor,
    mean_metrics,
    require_finite,
)
from support import cpu_runtime

PLAIN: dict[str, Any] = {"lr": 0.5, "schedule": Schedule.constant, "clip": None}


def optimization(weights: list[float], **settings: Any) -> Optimization:
    parameter = torch.nn.Parameter(torch.tensor(weights))
    config = OptimizerConfig(**(PLAIN | settings))
    return Optimization(config, [parameter], 10, cpu_runtime(), "policy")


def pulled(optimization: Optimization, *gradient: float) -> Optimization:
    (parameter,) = optimization.parameters
    parameter.grad = torch.tensor(gradient)
    return optimization


def test_the_learning_rate_is_a_function_of_the_step() -> None:
    constant = OptimizerConfig(schedule=Schedule.constant, warmup=10, warmup_fraction=0.1)
    factors = [learning_rate_factor(i, 500, constant) for i in (0, 1, 5, 10, 499)]
    assert factors == pytest.approx([0.1, 0.19, 0.55, 1.0, 1.0])
    for schedule, final in {Schedule.cosine: 0.1, Schedule.linear: 0.0}.items():
        config = OptimizerConfig(schedule=schedule, final_fraction=final, warmup=2)
        assert learning_rate_factor(19, 20, config) == pytest.approx(final, abs=1e-12)
        assert learning_rate_factor(2, 20, config) == 1.0


def test_the_first_step_is_the_learning_rate() -> None:
    # Adam's first step is lr * g / |g| up to epsilon, whatever the size of the gradient.
    tried = pulled(optimization([1.0, 1.0]), 3.0, -0.02)
    assert tried.step(0) == {"policy/grad_norm": pytest.approx(3.0000667), "policy/lr": 0.5}
    torch.testing.assert_close(tried.parameters[0].data, torch.tensor([0.5, 1.5]))
    assert tried.parameters[0].grad is None


def test_the_norm_is_reported_before_the_clip() -> None:
    tried = pulled(optimization([0.0, 0.0], clip=1.0), 3.0, 4.0)
    assert tried.norm() == 5.0
    tried.step(0)
    first_moment = tried.state_dict()["0"]["exp_avg"]
    # (1 - beta1) * gradient / 5 = 0.1 * (0.6, 0.8)
    torch.testing.assert_close(first_moment, torch.tensor([0.06, 0.08]))


def test_a_term_adds_its_gradient_and_is_compared() -> None:
    tried = pulled(optimization([0.0, 0.0]), 3.0, 0.0)

    def term() -> dict[str, float]:
        pulled(tried, 0.0, 4.0)
        return {"loss": 1.5}

    metrics = tried.add("ptx", term)
    assert metrics["loss"] == 1.5
    assert (metrics["ptx/grad_norm"], metrics["ptx/other_grad_norm"]) == (4.0, 3.0)
    assert metrics["ptx/cosine"] == 0.0
    assert tried.norm() == 5.0


def test_a_gradient_that_is_not_finite_is_refused_and_cleared() -> None:
    tried = pulled(optimization([1.0, 2.0]), float("nan"), 1.0)
    with pytest.raises(NumericError, match=r"gradient of policy is not finite \(norm nan\)"):
        tried.step(0)
    assert tried.parameters[0].tolist() == [1.0, 2.0]
    assert tried.parameters[0].grad is None
    assert tried.state_dict() == {}


def test_resumed_moments_give_the_same_step() -> None:
    first, second = optimization([1.0, 1.0]), optimization([1.0, 1.0])
    pulled(first, 1.0, 2.0).step(0)
    second.load_state_dict(deepcopy(first.state_dict()))  # as a checkpoint does
    second.parameters[0].data.copy_(first.parameters[0].data)
    for tried in (first, second):
        pulled(tried, -0.5, 0.5).step(1)
    assert first.parameters[0].equal(second.parameters[0])


def test_losses_that_are_not_finite_are_named() -> None:
    require_finite("sft, step 3", {"loss/sft": 0.5})
    with pytest.raises(NumericError, match="sft, step 3: loss/sft inf is not finite"):
        require_finite("sft, step 3", {"loss/sft": float("inf"), "loss/sft_mix": 1.0})


def test_the_mean_of_metrics_counts_every_step() -> None:
    assert mean_metrics([{"a": 1.0, "b": 4.0}, {"a": 3.0}]) == {"a": 2.0, "b": 2.0}
