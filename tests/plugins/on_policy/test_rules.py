"""The losses that on-policy algorithms share, and their normalisations, against hand-worked
tables."""

from __future__ import annotations

import math

import pytest
import torch

from preflab.functional import kl_estimates, masked_sum, whiten
from preflab_builtin.on_policy.config import Aggregate, KLEstimator
from preflab_builtin.on_policy.rules import clipped_loss, denominator, kl_loss, token_weights


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def everywhere(like: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(like, dtype=torch.bool)


# --- the clipped loss ---


@pytest.mark.parametrize(
    "advantage,gradients",
    [
        # -A * ratio inside; 0 where a better action is already above 1.2 ...
        (1.0, [-0.7, -0.9, -1.1, 0.0]),
        # ... or a worse one already below .8; not 0 for a worse one above 1.2
        (-1.0, [0.0, 0.9, 1.1, 1.3]),
    ],
)
def test_clipped_policy_loss_table(advantage: float, gradients: list[float]) -> None:
    ratios = [0.7, 0.9, 1.1, 1.3]
    new = row(*(math.log(r) for r in ratios)).requires_grad_()
    found = clipped_loss(
        new, torch.zeros_like(new), torch.full_like(new, advantage), everywhere(new), 0.2
    )
    torch.autograd.backward(found.loss.sum())
    assert new.grad is not None
    assert new.grad[0].tolist() == pytest.approx(gradients, rel=1e-12)
    # The loss: max(-A r, -A clip(r)); for A = 1: -.7 -.9 -1.1 -1.2; for A = -1: .8 + .9 + 1.1 + 1.3
    total = float(found.loss.detach().sum())
    assert total == pytest.approx(-3.9 if advantage > 0 else 4.1, rel=1e-12)
    assert found.clipped.tolist() == [[advantage < 0, False, False, advantage > 0]]


def test_clip_higher_leaves_good_actions_room() -> None:
    # With high = .28 a ratio of 1.25 is still inside for A = 1, where .2 stops it; A = -1 and a
    # ratio below .8 are stopped as before.
    for ratio, advantage, clipped in ((1.25, 1.0, False), (1.3, 1.0, True), (0.75, -1.0, True)):
        new = row(math.log(ratio))
        found = clipped_loss(new, torch.zeros_like(new), row(advantage), everywhere(new), 0.2, 0.28)
        assert bool(found.clipped) is clipped


def test_masked_tokens_have_no_part_in_the_policy_loss() -> None:
    mask = torch.tensor([[True, False]])
    new = row(0.1, math.inf).requires_grad_()
    total = masked_sum(clipped_loss(new, row(0.0, 0.0), row(1.0, math.nan), mask, 0.2).loss, mask)
    assert float(total.detach()) == pytest.approx(-math.exp(0.1), rel=1e-12)
    (gradient,) = torch.autograd.grad(total, new)
    assert gradient[0].tolist() == pytest.approx([-math.exp(0.1), 0.0], rel=1e-12)


def test_at_ratio_one_the_update_is_reinforce() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 7, generator=generator, dtype=torch.float64).requires_grad_()
    actions, advantages = (
        torch.randint(7, (5,), generator=generator),
        torch.randn(5, generator=generator, dtype=torch.float64),
    )
    new = logits.log_softmax(-1).gather(-1, actions[:, None])
    found = clipped_loss(new, new.detach(), advantages[:, None], everywhere(new), 0.2).loss.sum()
    reinforce = -(advantages[:, None] * new).sum()
    ours, theirs = (
        torch.autograd.grad(x, logits, retain_graph=True)[0] for x in (found, reinforce)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    assert float(found.detach()) / 5 == pytest.approx(-float(advantages.mean()), rel=1e-12)
    white = whiten(advantages[:, None], everywhere(new))
    centred = clipped_loss(new.detach(), new.detach(), white, everywhere(new), 0.2).loss
    assert float(centred.sum()) == pytest.approx(0, abs=1e-12)


# --- the KL as a loss ---


@pytest.mark.parametrize(
    "estimator, gradient",
    [
        # d = log pi - log ref = .5 at ratio 1. k2: d/dx d^2/2 = d; k3: 1 - exp(-d);
        # ratio k3: k3 + 1 - exp(-d) = d. Only the first and the last are d, the gradient of the KL
        # for a sample of the policy.
        (KLEstimator.k2, 0.5),
        (KLEstimator.k3, 1 - math.exp(-0.5)),
        (KLEstimator.weighted_k3, 0.5),
    ],
)
def test_gradient_of_the_kl_in_the_loss(estimator: KLEstimator, gradient: float) -> None:
    new = row(-1.0).requires_grad_()
    loss = kl_loss(new, row(-1.0), row(-1.5), everywhere(new), estimator)
    (found,) = torch.autograd.grad(loss.sum(), new)
    assert float(found) == pytest.approx(gradient, rel=1e-12)


def test_only_weighted_k3_and_k2_have_the_gradient_of_the_kl_in_expectation() -> None:
    # Over all 4 outcomes of a categorical policy, drawn from it: the exact gradient of
    # KL(pi || ref) with respect to its logits.
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 4, generator=generator, dtype=torch.float64).requires_grad_()
    reference = torch.randn(1, 4, generator=generator, dtype=torch.float64).log_softmax(-1)
    log_probs = logits.log_softmax(-1)
    exact = (log_probs.exp() * (log_probs - reference)).sum()
    (wanted,) = torch.autograd.grad(exact, logits, retain_graph=True)
    drawn = log_probs.detach().exp()
    for estimator in KLEstimator:
        loss = kl_loss(log_probs, log_probs.detach(), reference, everywhere(log_probs), estimator)
        (found,) = torch.autograd.grad((drawn * loss).sum(), logits, retain_graph=True)
        error = float((found - wanted).abs().max())
        assert (error < 1e-12) == (estimator is not KLEstimator.k3), estimator
    assert float(kl_estimates(torch.tensor(0.5))[2]) == pytest.approx(math.exp(-0.5) - 0.5)


def test_masked_tokens_have_no_part_in_the_kl() -> None:
    mask = torch.tensor([[True, False]])
    for estimator in KLEstimator:
        new = row(0.1, math.inf).requires_grad_()
        total = masked_sum(kl_loss(new, row(0.1, 0.0), row(0.0, math.nan), mask, estimator), mask)
        assert math.isfinite(float(total.detach()))
        (gradient,) = torch.autograd.grad(total, new)
        assert float(gradient[0, 1]) == 0


# --- normalisation ---


@pytest.mark.parametrize(
    "aggregate, expected",
    [
        # Losses 1, 2, 3 | 10 of responses with 3 tokens and 1 token; the longest may have 5.
        (Aggregate.token, 16 / 4),
        (Aggregate.sequence, (6 / 3 + 10) / 2),
        (Aggregate.constant, 16 / (2 * 5)),
    ],
)
def test_aggregates(aggregate: Aggregate, expected: float) -> None:
    losses = torch.tensor([[1.0, 2.0, 3.0], [10.0, math.nan, math.nan]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    total = masked_sum(token_weights(mask, aggregate) * losses, mask)
    assert float(total) / denominator(mask, aggregate, 5) == pytest.approx(expected)
