"""Losses of pairs against values by hand, and the optimum of DPO against the closed form."""

from __future__ import annotations

import math

import pytest
import torch

from preflab_builtin.preference.config import Loss
from preflab_builtin.preference.loss import kto_losses, pair_losses, reference_point

BETTER, WORSE = torch.tensor([2.0, -1.0]), torch.tensor([-1.0, 0.0])


def softplus(x: float) -> float:
    """log(1 + exp(x)) = -log sigmoid(-x)."""
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    "loss, options, expected",
    [
        # Margins .5 (2 + 1) = 1.5 and .5 (-1 - 0) = -.5.
        (Loss.dpo, {}, [softplus(-1.5), softplus(0.5)]),
        # A tenth of the pairs is taken the other way round.
        (
            Loss.dpo,
            {"label_smoothing": 0.1},
            [
                0.9 * softplus(-1.5) + 0.1 * softplus(1.5),
                0.9 * softplus(0.5) + 0.1 * softplus(-0.5),
            ],
        ),
        # (3 - 1 / (2 .5))^2 and (-1 - 1)^2.
        (Loss.ipo, {}, [4.0, 4.0]),
        (Loss.simpo, {"margin": 1.0}, [softplus(-0.5), softplus(1.5)]),
    ],
)
def test_by_hand(loss: Loss, options: dict[str, float], expected: list[float]) -> None:
    found = pair_losses(BETTER, WORSE, loss, beta=0.5, **options)
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_the_optimum_of_dpo_is_that_of_reward_less_kl() -> None:
    """Bradley-Terry verdicts of a known reward on all pairs of three arms, each with its chance:
    the policy that minimises the expected loss is ref exp(r / beta) / Z, which PPO reaches too
    (tests/conformance/test_closed_form.py)."""
    reference = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    worth, beta = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64), 0.5
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=500, tolerance_grad=0, tolerance_change=0)
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    better, worse = (torch.tensor(side) for side in zip(*pairs, strict=True))
    chance = torch.sigmoid(worth[better] - worth[worse])

    def expected_loss() -> torch.Tensor:
        optimizer.zero_grad()
        ratio = logits.log_softmax(-1) - reference.log()
        losses = pair_losses(ratio[better], ratio[worse], Loss.dpo, beta)
        total = (chance * losses).sum()
        torch.autograd.backward(total)
        return total

    optimizer.step(expected_loss)  # type: ignore[no-untyped-call]
    optimum = (reference.log() + worth / beta).softmax(-1)
    assert optimum.tolist() == pytest.approx([0.800774, 0.162559, 0.036667], abs=1e-6)
    torch.testing.assert_close(logits.detach().softmax(-1), optimum, rtol=1e-6, atol=1e-8)


def test_ipo_stops_where_dpo_goes_on() -> None:
    # Everybody prefers the first: DPO's gradient never vanishes, IPO's does at 1 / (2 beta).
    gap = torch.tensor([1.0], requires_grad=True)
    losses = pair_losses(gap, torch.zeros(1), Loss.ipo, beta=0.5)
    assert float(torch.autograd.grad(losses.sum(), gap)[0]) == 0
    losses = pair_losses(gap, torch.zeros(1), Loss.dpo, beta=0.5)
    assert float(torch.autograd.grad(losses.sum(), gap)[0]) < -0.1


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_kto_by_hand() -> None:
    # Equations 7 and 8 with beta .5, lambda_D 1.5, lambda_U 1, kl .4, the mean of both sides:
    # liked 2: 1.5 (1 - sigmoid(.5 (2 - .4))); disliked -1: 1 - sigmoid(.5 (.4 + 1)).
    # liked -1: 1.5 (1 - sigmoid(.5 (-1 - .4))); disliked 0: 1 - sigmoid(.5 (.4 - 0)).
    found = kto_losses(BETTER, WORSE, torch.tensor(0.4), 0.5, 1.5, 1.0)
    expected = [
        (1.5 * (1 - sigmoid(0.8)) + 1 - sigmoid(0.7)) / 2,
        (1.5 * (1 - sigmoid(-0.7)) + 1 - sigmoid(0.2)) / 2,
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_kto_judges_each_response_by_itself() -> None:
    # The gradient on a liked response does not depend on the disliked one of its pair, as DPO's
    # does: -beta s (1 - s) / 2, s = sigmoid(beta (liked - kl)).
    found = []
    for other in (-5.0, 5.0):
        liked = torch.tensor([1.0], requires_grad=True)
        losses = kto_losses(liked, torch.tensor([other]), torch.tensor(0.0), 0.5)
        found.append(float(torch.autograd.grad(losses.sum(), liked)[0]))
    s = sigmoid(0.5)
    assert found == pytest.approx([-0.5 * s * (1 - s) / 2] * 2, rel=1e-6)


def test_the_reference_point_is_a_mean_that_is_not_negative() -> None:
    assert float(reference_point(torch.tensor([[1.0, 0.0], [-3.0, 4.0]]))) == 0.5
    assert float(reference_point(torch.tensor([[1.0, 0.0], [-3.0, 0.0]]))) == 0.0
