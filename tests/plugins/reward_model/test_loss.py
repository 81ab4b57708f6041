"""The K-wise loss against hand-worked values and against independent pairs."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from torch.nn.functional import logsigmoid

from preflab.records import Prompt, Ranking, preferences_from_ranks
from preflab_builtin.reward_model.loss import (
    Scale,
    correct_pairs,
    kwise_loss,
    plackett_luce_loss,
    regression_loss,
)

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


def test_ratings_are_regressed_on_in_their_standard_deviations() -> None:
    # 1 2 9 and 4: mean 16 / 4 = 4, squares 9 + 4 + 25 + 0 = 38, standard deviation sqrt(9.5).
    rated = [
        Ranking(Prompt(str(i), "p"), ("x",) * len(ratings), (), ratings=ratings)
        for i, ratings in enumerate([(1.0, 2.0, 9.0), (4.0,)])
    ]
    assert Scale.of(rated) == pytest.approx((4.0, math.sqrt(9.5)))
    # Mean 4 and deviation 3 make 7 4 1 the targets 1 0 -1: (0 + 0 + 1) / 3, and 2 / 3 (r - target).
    rewards = leaf([1.0, 0.0, -2.0])
    loss = regression_loss(rewards, (7.0, 4.0, 1.0), Scale(4.0, 3.0))
    torch.autograd.backward(loss)
    assert float(loss.detach()) == pytest.approx(1 / 3, rel=1e-12)
    assert rewards.grad is not None
    assert rewards.grad.tolist() == pytest.approx([0.0, 0.0, -2 / 3], abs=1e-12)


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


# --- the other losses ---


def value(loss: torch.Tensor) -> float:
    return float(loss.detach())


def test_a_margin_is_asked_of_the_better_response() -> None:
    # Difference 2, margin .5: log(1 + exp(-1.5)); its gradient is that of a difference of 1.5.
    loss = kwise_loss(leaf([2.0, 0.0]), [(0, 1)], margin=0.5)
    assert value(loss) == pytest.approx(math.log1p(math.exp(-1.5)), rel=1e-12)


def test_smoothing_takes_a_share_of_the_pairs_the_wrong_way_round() -> None:
    # .9 log(1 + exp(-1.5)) + .1 log(1 + exp(2.5)), with the margin of .5 on both sides.
    loss = kwise_loss(leaf([2.0, 0.0]), [(0, 1)], margin=0.5, label_smoothing=0.1)
    by_hand = 0.9 * math.log1p(math.exp(-1.5)) + 0.1 * math.log1p(math.exp(2.5))
    assert value(loss) == pytest.approx(by_hand, rel=1e-12)
    # Its least loss is at sigmoid(difference) = .9 and not at infinity: log 9.
    gap = torch.tensor([math.log(9), 0.0], dtype=torch.float64, requires_grad=True)
    torch.autograd.backward(kwise_loss(gap, [(0, 1)], label_smoothing=0.1))
    assert gap.grad is not None
    assert float(gap.grad.abs().max()) == pytest.approx(0, abs=1e-12)


def test_without_margin_and_smoothing_it_is_the_same_number() -> None:
    rewards = leaf([0.3, -1.2, 2.5, 0.0])
    assert value(kwise_loss(rewards, BEST_FIRST, 0.0, 0.0)) == value(
        -logsigmoid(rewards[[0, 0, 0, 1, 1, 2]] - rewards[[1, 2, 3, 2, 3, 3]]).mean()
    )


def test_plackett_luce_is_the_chance_of_the_order() -> None:
    # Drawn without replacement by exp r = 4, 2, 1: 4/7 2/3 1; minus its log by K - 1 = 2 stages.
    values = [math.log(4), math.log(2), 0.0]
    found = plackett_luce_loss(leaf(values), preferences_from_ranks([1, 2, 3]))
    assert value(found) == pytest.approx(-math.log(4 / 7 * 2 / 3) / 2, rel=1e-12)
    # In another presentation the same.
    found = plackett_luce_loss(leaf([0.0, math.log(4), math.log(2)]), [(1, 2), (2, 0), (1, 0)])
    assert value(found) == pytest.approx(-math.log(4 / 7 * 2 / 3) / 2, rel=1e-12)


def test_plackett_luce_of_two_is_the_pair_and_ties_are_not_compared() -> None:
    rewards = leaf([0.7, -0.4])
    assert value(plackett_luce_loss(rewards, [(0, 1)])) == pytest.approx(
        value(kwise_loss(rewards, [(0, 1)])), rel=1e-12
    )
    # The second and third are tied: the first against both, e^1 / (e^1 + 1 + 1).
    tied = plackett_luce_loss(leaf([1.0, 0.0, 0.0]), preferences_from_ranks([1, 2, 2]))
    assert value(tied) == pytest.approx(-math.log(math.e / (math.e + 2)), rel=1e-12)
    nothing = leaf([1.0, 0.0])
    torch.autograd.backward(plackett_luce_loss(nothing, []))
    assert nothing.grad is not None
    assert nothing.grad.tolist() == [0.0, 0.0]
