"""PPO's value loss against hand-worked tables (tests/plugins/on_policy/test_rules.py has the
policy's; tests/conformance/test_closed_form.py the whole of PPO against closed forms)."""

from __future__ import annotations

import math

import pytest
import torch

from preflab.functional import masked_sum
from preflab_builtin.ppo.loss import value_loss


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def everywhere(like: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(like, dtype=torch.bool)


def sums(
    values: torch.Tensor,
    old: torch.Tensor,
    returns: torch.Tensor,
    mask: torch.Tensor,
    clip: float | None,
) -> tuple[torch.Tensor, int]:
    """The loss summed over tokens, and the number of clipped ones."""
    found = value_loss(values, old, returns, mask, clip)
    return masked_sum(found.loss, mask), int(masked_sum(found.clipped.float(), mask))


def test_value_clipping() -> None:
    # Old 0, return 1, clip .2. V = .5: clipped to .2, the worse of .25 and .64, half of it, no
    # gradient.
    value = row(0.5).requires_grad_()
    loss, clipped = sums(value, row(0.0), row(1.0), everywhere(value), 0.2)
    assert float(loss.detach()) == pytest.approx(0.32, rel=1e-12)
    assert float(clipped) == 1
    assert torch.autograd.grad(loss, value)[0].item() == 0
    # V = .1 is within: half of .81, gradient .1 - 1
    value = row(0.1).requires_grad_()
    loss, clipped = sums(value, row(0.0), row(1.0), everywhere(value), 0.2)
    assert float(loss.detach()) == pytest.approx(0.405, rel=1e-12)
    assert float(clipped) == 0
    assert torch.autograd.grad(loss, value)[0].item() == pytest.approx(-0.9, rel=1e-12)
    # Without a clip V = .5 is pulled by its whole error.
    value = row(0.5).requires_grad_()
    loss, _ = sums(value, row(0.0), row(1.0), everywhere(value), None)
    assert torch.autograd.grad(loss, value)[0].item() == pytest.approx(-0.5, rel=1e-12)


def test_masked_tokens_have_no_part_in_the_value_loss() -> None:
    mask = torch.tensor([[True, False]])
    for clip in (0.2, None):
        loss, clipped = sums(row(0.1, math.nan), row(0.0, 0.0), row(1.0, 5.0), mask, clip)
        assert float(loss) == pytest.approx(0.405, rel=1e-12)
        assert float(clipped) == 0
