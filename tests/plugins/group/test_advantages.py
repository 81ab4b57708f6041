"""Advantages of groups against hand-worked tables, and their biases as numbers."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from preflab_builtin.group.advantages import EPSILON, baselines, group_advantages
from preflab_builtin.group.config import Baseline, Credit, Scale

MASK = torch.tensor([[True, True, True], [True, False, False]] * 2)
REWARDS = torch.tensor([[-0.5, 0.0, 1.5], [3.0, 0.0, 0.0], [0.0, 0.0, 2.0], [2.0, 0.0, 0.0]])
"""Two prompts with two responses each; rewards of whole responses 1, 3 | 2, 2."""


def advantages(baseline: Baseline, scale: Scale, credit: Credit) -> list[list[float]]:
    found = group_advantages(REWARDS, MASK, 2, baseline, scale, credit)
    assert not found[~MASK].any()
    return found.tolist()


@pytest.mark.parametrize(
    "baseline, first, second",
    [
        (Baseline.leave_one_out, -2.0, 2.0),  # 1 - 3 and 3 - 1
        (Baseline.mean, -1.0, 1.0),  # 1 - 2 and 3 - 2: half of it, (n - 1) / n
        (Baseline.none, 1.0, 3.0),
    ],
)
def test_baselines(baseline: Baseline, first: float, second: float) -> None:
    found = advantages(baseline, Scale.none, Credit.response)
    equal = 2.0 if baseline is Baseline.none else 0.0
    assert found == [[first] * 3, [second, 0, 0], [equal] * 3, [equal, 0, 0]]


def test_a_response_is_never_its_own_leave_one_out_baseline() -> None:
    totals = torch.tensor([1.0, 2.0, 6.0])
    # (2 + 6) / 2, (1 + 6) / 2, (1 + 2) / 2
    assert baselines(totals, 3, Baseline.leave_one_out).tolist() == [4.0, 3.5, 1.5]


def test_the_group_s_standard_deviation_has_n_minus_one() -> None:
    # Rewards 1 and 3: sqrt(((1 - 2)^2 + (3 - 2)^2) / 1) = sqrt(2). Equal rewards: 0 / epsilon.
    found = advantages(Baseline.mean, Scale.group, Credit.response)
    assert found[1][0] == pytest.approx(1 / (math.sqrt(2) + EPSILON), rel=1e-6)
    assert found[2] == [0.0, 0.0, 0.0]


def test_rewards_to_go_credit_a_token_with_what_follows_it() -> None:
    found = advantages(Baseline.none, Scale.none, Credit.token)
    assert found[0] == [1.0, 1.5, 1.5]
    assert found[1] == [3.0, 0.0, 0.0]
    # Whitened over the 8 tokens: mean 0, population variance 1.
    white = torch.tensor(advantages(Baseline.none, Scale.batch, Credit.token))[MASK]
    assert float(white.mean()) == pytest.approx(0, abs=1e-6)
    assert float(white.var(correction=0)) == pytest.approx(1, rel=1e-5)


def expected_gradient(worth: torch.Tensor, baseline: Baseline, scale: Scale) -> torch.Tensor:
    """Over all 27 groups of three draws from three arms, each with its probability: the gradient
    with respect to the logits of a bandit."""
    logits = torch.tensor([0.2, -0.4, 0.9], dtype=torch.float64, requires_grad=True)
    log_probs = logits.log_softmax(-1)
    expected = torch.zeros((), dtype=torch.float64)
    for group in product(range(3), repeat=3):
        arms = torch.tensor(group)
        rewards, mask = worth[arms][:, None], torch.ones(3, 1, dtype=torch.bool)
        found = group_advantages(rewards, mask, 3, baseline, scale, Credit.response)
        chance = log_probs.detach()[arms].sum().exp()
        expected = expected + chance * (found[:, 0] * log_probs[arms]).mean()
    return torch.autograd.grad(expected, logits)[0]


WORTH = torch.tensor([1.0, 0.0, -3.0], dtype=torch.float64)


@pytest.mark.parametrize(
    "baseline, factor",
    [(Baseline.none, 1.0), (Baseline.leave_one_out, 1.0), (Baseline.mean, 2 / 3)],  # (n - 1) / n
)
def test_the_expected_gradient_is_that_of_the_expected_reward(
    baseline: Baseline, factor: float
) -> None:
    logits = torch.tensor([0.2, -0.4, 0.9], dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad((logits.softmax(-1) * WORTH).sum(), logits)
    found = expected_gradient(WORTH, baseline, Scale.none)
    torch.testing.assert_close(found, factor * wanted, rtol=1e-9, atol=1e-12)


def test_dividing_by_the_group_s_deviation_makes_all_prompts_weigh_alike() -> None:
    # Ten times the reward has ten times the gradient, or, divided, the same: a prompt on which
    # responses hardly differ counts as much as one that matters.
    plain = [expected_gradient(x, Baseline.mean, Scale.none) for x in (WORTH, 10 * WORTH)]
    torch.testing.assert_close(plain[1], 10 * plain[0])
    divided = [expected_gradient(x, Baseline.mean, Scale.group) for x in (WORTH, 10 * WORTH)]
    torch.testing.assert_close(divided[1], divided[0], rtol=1e-3, atol=0)
