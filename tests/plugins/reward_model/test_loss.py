"""The K-wise loss against hand-worked values and against independent pairs."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from torch.nn.functional import logsigmoid

from preflab.records import preferences_from_ranks
from preflab_builtin.reward_model.loss import correct_pairs, kwise_loss

BEST_FIRST = preferences_from_ranks([1, 2, 3, 4])


def leaf(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def with_gradient(
    values: list[float], preferences: tuple[tuple[int, int], ...]
) -> tuple[float, torch.Tensor]:
    rewards = leaf(values)
    loss = kwise_loss(rewards, preferences)
    torch.autograd.backward(loss)
    assert rewards.grad is not None
    return float(loss.detach()), rewards.grad


def test_four_ranked_completions() -> None:
    # Differences 1, 2, 3, 1, 2, 1: (3 ln(1+e^-1) + 2 ln(1+e^-2) + ln(1+e^-3)) / 6
    loss, gradient = with_gradient([2.0, 1.0, 0.0, -1.0], BEST_FIRST)
    by_hand = (
        3 * math.log1p(math.exp(-1)) + 2 * math.log1p(math.exp(-2)) + math.log1p(math.exp(-3))
    ) / 6
    assert loss == pytest.approx(by_hand, rel=1e-12)
    assert loss == pytest.approx(0.2070380727023926, rel=1e-12)
    assert gradient.tolist() == pytest.approx([-0.072595, -0.019867, 0.019867, 0.072595], abs=1e-6)
    assert float(gradient.sum()) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("k", range(2, 10))
def test_equals_the_mean_of_independent_pairs(k: int) -> None:
    values = torch.randn(
        k, generator=torch.Generator().manual_seed(k), dtype=torch.float64
    ).tolist()
    loss, gradient = with_gradient(values, preferences_from_ranks(range(k)))
    alone = leaf(values)
    pairs = [-logsigmoid(alone[i] - alone[j]) for i, j in combinations(range(k), 2)]
    assert len(pairs) == k * (k - 1) // 2
    torch.autograd.backward(torch.stack(pairs).mean())
    assert alone.grad is not None
    assert loss == pytest.approx(float(torch.stack(pairs).mean().detach()), rel=1e-12)
    torch.testing.assert_close(gradient, alone.grad, rtol=1e-12, atol=1e-14)


def test_a_constant_changes_nothing() -> None:
    values = [0.3, -1.2, 2.0, 0.1]
    loss, gradient = with_gradient(values, BEST_FIRST)
    shifted, same = with_gradient([v + 100 for v in values], BEST_FIRST)
    assert shifted == pytest.approx(loss, rel=1e-12)
    torch.testing.assert_close(gradient, same, rtol=1e-12, atol=1e-14)


def test_the_order_of_presentation_changes_nothing() -> None:
    values, ranks, order = [0.3, -1.2, 2.0, 0.1], [2.0, 1.0, 4.0, 3.0], [2, 0, 3, 1]
    loss, gradient = with_gradient(values, preferences_from_ranks(ranks))
    turned, moved = with_gradient(
        [values[i] for i in order], preferences_from_ranks([ranks[i] for i in order])
    )
    assert turned == pytest.approx(loss, rel=1e-12)
    torch.testing.assert_close(gradient[torch.tensor(order)], moved, rtol=1e-12, atol=1e-14)


def test_ties_are_dropped_and_the_rest_is_divided_by_what_is_kept() -> None:
    # Ranks 1, 2, 2: two pairs with differences 1 and 3; the tied pair does not count, neither
    # above nor below.
    loss, _ = with_gradient([1.0, 0.0, -2.0], preferences_from_ranks([1, 2, 2]))
    assert loss == pytest.approx(
        (math.log1p(math.exp(-1)) + math.log1p(math.exp(-3))) / 2, rel=1e-12
    )


def test_all_tied_gives_zero_with_a_finite_gradient() -> None:
    loss, gradient = with_gradient([1.0, 5.0], ())
    assert loss == 0
    assert gradient.tolist() == [0, 0]


def test_a_repeated_vote_counts_again() -> None:
    # Two say 0 > 1, one says 1 > 0, difference .5: (2 ln(1+e^-.5) + ln(1+e^.5)) / 3
    loss, _ = with_gradient([0.5, 0.0], ((0, 1), (0, 1), (1, 0)))
    assert loss == pytest.approx(
        (2 * math.log1p(math.exp(-0.5)) + math.log1p(math.exp(0.5))) / 3, rel=1e-12
    )


def test_large_differences_stay_finite() -> None:
    loss, gradient = with_gradient([-1e4, 1e4], ((0, 1),))
    assert loss == pytest.approx(2e4)
    assert torch.isfinite(gradient).all()


def test_correct_pairs_counts_equal_scores_as_wrong() -> None:
    right, margin = correct_pairs(torch.tensor([2.0, 1.0, 1.0]), ((0, 1), (2, 0), (1, 2)))
    assert right == 1  # 2 > 1; 1 > 2 is wrong; 1 > 1 is no order
    assert margin == pytest.approx(1 - 1 + 0)
