"""Which group baselines are the same algorithm, and up to which factor: gradients of the update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.likelihood import response_log_probs
from preflab_builtin.group.config import Baseline, GroupClipConfig, GroupKLConfig, Scale
from preflab_builtin.on_policy.config import Aggregate
from support import gradients, largest_difference
from tiny_on_policy import tiny
from tiny_ppo import capture_experience, recorded

NO_KL = GroupKLConfig(coef=0.0)


def first_gradient(folder: Path, **options: Any) -> dict[str, torch.Tensor]:
    """Of the first optimizer step of an iteration that has one."""
    procedure = tiny("group", folder, minibatch=16, kl=NO_KL, **options)
    taken = recorded(procedure)
    procedure.step(0)
    return taken[0]


def largest(gradient: dict[str, torch.Tensor]) -> float:
    return max(float(g.abs().max()) for g in gradient.values())


def test_rloo_of_two_is_the_difference_of_rewards_times_that_of_log_likelihoods(
    tmp_path: Path,
) -> None:
    """With n = 2 the baseline is the other response: the gradient is that of -(r_1 - r_2) (log
    pi_1 - log pi_2), a pair each."""
    options: Any = {"samples": 2, "baseline": Baseline.leave_one_out}
    procedure = tiny(
        "group", tmp_path, minibatch=16, kl=NO_KL, aggregate=Aggregate.response, **options
    )
    kept, taken = capture_experience(procedure), recorded(procedure)
    procedure.step(0)
    ((batch,), (found,)) = kept, taken
    policy = procedure.context.policy("initial")
    log_likelihood = response_log_probs(policy, batch.rollout).sum(-1).view(-1, 2)
    gaps = batch.scores.view(-1, 2)
    first, second = log_likelihood.unbind(1)
    loss = -((gaps[:, 0] - gaps[:, 1]) * (first - second)).sum() / 16  # the mean over responses
    torch.autograd.backward(loss)
    wanted = {f"policy.{k}": g for k, g in gradients(policy.module).items()}
    assert largest_difference(found, wanted) < 1e-5
    assert largest(found) > 1e-2


@pytest.mark.parametrize("aggregate", list(Aggregate))
def test_grpo_without_deviation_is_rloo_up_to_its_factor(
    aggregate: Aggregate, tmp_path: Path
) -> None:
    # One epoch, one minibatch: every ratio is 1, and nothing is clipped. The group's own mean holds
    # the response itself: (n - 1) / n = 3 / 4.
    rloo, grpo = (
        first_gradient(tmp_path, baseline=baseline, aggregate=aggregate)
        for baseline in (Baseline.leave_one_out, Baseline.mean)
    )
    assert largest_difference(grpo, {k: 0.75 * g for k, g in rloo.items()}) < 1e-6
    assert largest(grpo) > 1e-3


def test_with_the_deviation_it_is_another_algorithm(tmp_path: Path) -> None:
    plain, divided = (
        first_gradient(tmp_path, baseline=Baseline.mean, scale=scale)
        for scale in (Scale.none, Scale.group)
    )
    factor = largest(divided) / largest(plain)
    assert largest_difference(divided, {k: factor * g for k, g in plain.items()}) > 1e-3


def test_clip_higher_reaches_the_loss(tmp_path: Path) -> None:
    """DAPO: a token of a good response is stopped at 1 + ratio_high, one of a bad at 1 - ratio."""
    procedure = tiny("group", tmp_path, clip=GroupClipConfig(ratio=0.2, ratio_high=0.28))
    kept = capture_experience(procedure)
    procedure.step(0)
    (batch,) = kept
    for log_ratio, good, bad in ((0.22, False, False), (0.26, True, False), (-0.25, False, True)):
        # exp(.22) = 1.246 < 1.28 < exp(.26) = 1.297; exp(-.25) = .779 < .8.
        clipped = procedure.rules.loss(batch.log_probs + log_ratio, batch).clipped
        assert clipped[batch.mask & (batch.advantages > 0)].all() == good
        assert clipped[batch.mask & (batch.advantages < 0)].all() == bad
