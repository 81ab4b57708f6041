"""PPO's losses against hand-worked tables (tests/conformance/test_closed_form.py has the whole of
PPO against closed forms)."""

from __future__ import annotations

import math

import pytest
import torch

from preflab.functional import whiten
from preflab_builtin.ppo.loss import adapted_coefficient, policy_loss, value_loss


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def everywhere(like: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(like, dtype=torch.bool)


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
    found = policy_loss(
        new, torch.zeros_like(new), torch.full_like(new, advantage), everywhere(new), 0.2
    )
    torch.autograd.backward(found.loss)
    assert new.grad is not None
    assert new.grad[0].tolist() == pytest.approx(gradients, rel=1e-12)
    # The loss: max(-A r, -A clip(r)); for A = 1: -.7 -.9 -1.1 -1.2; for A = -1: .8 + .9 + 1.1 + 1.3
    assert float(found.loss.detach()) == pytest.approx(-3.9 if advantage > 0 else 4.1, rel=1e-12)
    assert float(found.clipped) == 1
    assert float(found.ratio) == pytest.approx(4.0, rel=1e-12)
    assert float(found.approx_kl) == pytest.approx(
        sum(math.log(r) ** 2 / 2 for r in ratios), rel=1e-12
    )


def test_masked_tokens_have_no_part_in_the_policy_loss() -> None:
    mask = torch.tensor([[True, False]])
    new = row(0.1, math.inf).requires_grad_()
    found = policy_loss(new, row(0.0, 0.0), row(1.0, math.nan), mask, 0.2)
    assert float(found.loss.detach()) == pytest.approx(-math.exp(0.1), rel=1e-12)
    assert [float(x) for x in (found.approx_kl, found.clipped, found.ratio)] == pytest.approx(
        [0.005, 0, math.exp(0.1)]
    )


def test_at_ratio_one_the_update_is_reinforce() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 7, generator=generator, dtype=torch.float64).requires_grad_()
    actions, advantages = (
        torch.randint(7, (5,), generator=generator),
        torch.randn(5, generator=generator, dtype=torch.float64),
    )
    new = logits.log_softmax(-1).gather(-1, actions[:, None])
    found = policy_loss(new, new.detach(), advantages[:, None], everywhere(new), 0.2)
    reinforce = -(advantages[:, None] * new).sum()
    ours, theirs = (
        torch.autograd.grad(x, logits, retain_graph=True)[0] for x in (found.loss, reinforce)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    assert float(found.loss.detach()) / 5 == pytest.approx(-float(advantages.mean()), rel=1e-12)
    white = whiten(advantages[:, None], everywhere(new))
    assert float(
        policy_loss(new.detach(), new.detach(), white, everywhere(new), 0.2).loss
    ) == pytest.approx(0, abs=1e-12)


def test_value_clipping() -> None:
    # Old 0, return 1, clip .2. V = .5: clipped to .2, the worse of .25 and .64, half of it, no
    # gradient.
    value = row(0.5).requires_grad_()
    loss, clipped = value_loss(value, row(0.0), row(1.0), everywhere(value), 0.2)
    assert float(loss.detach()) == pytest.approx(0.32, rel=1e-12)
    assert float(clipped) == 1
    assert torch.autograd.grad(loss, value)[0].item() == 0
    # V = .1 is within: half of .81, gradient .1 - 1
    value = row(0.1).requires_grad_()
    loss, clipped = value_loss(value, row(0.0), row(1.0), everywhere(value), 0.2)
    assert float(loss.detach()) == pytest.approx(0.405, rel=1e-12)
    assert float(clipped) == 0
    assert torch.autograd.grad(loss, value)[0].item() == pytest.approx(-0.9, rel=1e-12)
    # Without a clip V = .5 is pulled by its whole error.
    value = row(0.5).requires_grad_()
    loss, _ = value_loss(value, row(0.0), row(1.0), everywhere(value), None)
    assert torch.autograd.grad(loss, value)[0].item() == pytest.approx(-0.5, rel=1e-12)


def test_masked_tokens_have_no_part_in_the_value_loss() -> None:
    mask = torch.tensor([[True, False]])
    for clip in (0.2, None):
        loss, clipped = value_loss(row(0.1, math.nan), row(0.0, 0.0), row(1.0, 5.0), mask, clip)
        assert float(loss) == pytest.approx(0.405, rel=1e-12)
        assert float(clipped) == 0


@pytest.mark.parametrize(
    "kl,coef",
    [
        (3, 0.197952),  # error clipped to -.2: .2 (1 - .2 * 512 / 10000)
        (6, 0.2),
        (7, 0.2017066667),  # error 1/6
        (12, 0.202048),
        (-2, 0.197952),  # an estimate may be negative
    ],
)
def test_adaptive_coefficient(kl: float, coef: float) -> None:
    assert adapted_coefficient(0.2, kl, 6, 10_000, 512) == pytest.approx(coef, rel=1e-9)


def test_twenty_saturated_batches() -> None:
    coef = 1.0
    for _ in range(20):
        coef = adapted_coefficient(coef, 100, 6, 10_000, 512)
    assert coef == pytest.approx(1.2260020722, rel=1e-9)  # 1.01024 ** 20
