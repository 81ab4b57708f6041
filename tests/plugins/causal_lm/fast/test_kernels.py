"""Hand-written backward passes against autograd on the plain formulas, in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import gelu, silu

from preflab.functional import entropy, token_log_probs
from preflab_builtin.causal_lm.fast import kernels
from preflab_builtin.causal_lm.fast.kernels import GeluMLP, HeadLogProbs, SwigluMLP, applied


def drawn(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


def test_gelu_mlp_is_the_formula_and_its_gradient() -> None:
    parts = (
        drawn(5, 3, seed=0),
        drawn(3, 7, seed=1),
        drawn(7, seed=2),
        drawn(7, 3, seed=3),
        drawn(3, seed=4),
    )
    x, w1, b1, w2, b2 = parts
    assert torch.allclose(
        applied(GeluMLP, *parts), gelu(x @ w1 + b1, approximate="tanh") @ w2 + b2, rtol=1e-12
    )
    assert gradcheck(partial(applied, GeluMLP), parts)


def test_swiglu_mlp_is_the_formula_and_its_gradient() -> None:
    parts = (drawn(5, 3, seed=0), drawn(7, 3, seed=1), drawn(7, 3, seed=2), drawn(3, 7, seed=3))
    x, gate, up, down = parts
    assert torch.allclose(
        applied(SwigluMLP, *parts), (silu(x @ gate.t()) * (x @ up.t())) @ down.t(), rtol=1e-12
    )
    assert gradcheck(partial(applied, SwigluMLP), parts)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("kept", [0, 99], ids=["computed again", "kept"])
def test_log_probs_of_the_head_in_pieces(
    with_bias: bool, temperature: float, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "KEPT_LOGITS", kept)  # there are 9 x 11
    monkeypatch.setattr(kernels, "FEWEST_ROWS", 4)
    monkeypatch.setattr(kernels, "CACHED_LOGITS", 1)  # 9 rows in pieces of 4, 4 and 1
    hidden, weight = drawn(9, 3, seed=0), drawn(11, 3, seed=1)
    bias = drawn(11, seed=2) if with_bias else None
    ids = torch.arange(9)
    chosen, entropies = applied(HeadLogProbs, hidden, weight, bias, ids, temperature, True)
    logits = hidden @ weight.t() + (0 if bias is None else bias)
    scaled = (logits / temperature).log_softmax(-1)
    assert torch.allclose(chosen, scaled.gather(1, ids[:, None])[:, 0], rtol=1e-12)
    assert torch.allclose(entropies, -(scaled.exp() * scaled).sum(1), rtol=1e-12)
    # The framework's functions work in float32.
    assert torch.allclose(chosen.float(), token_log_probs(logits, ids, temperature), atol=1e-5)
    assert torch.allclose(entropies.float(), entropy(logits, temperature), atol=1e-5)
    assert not entropies.requires_grad
    with pytest.raises(AssertionError, match="one token per hidden state"):
        applied(HeadLogProbs, hidden, weight, bias, ids[:-1], temperature, False)
    leaves = (hidden, weight) if bias is None else (hidden, weight, bias)

    def log_probs(*given: torch.Tensor) -> torch.Tensor:
        parts = given if with_bias else (*given, None)
        result: torch.Tensor = applied(HeadLogProbs, *parts, ids, temperature, False)[0]
        return result

    assert gradcheck(log_probs, leaves)
    slopes = [
        torch.autograd.grad(f, leaves, retain_graph=True)
        for f in (log_probs(*leaves).sum(), scaled.gather(1, ids[:, None]).sum())
    ]
    assert all(torch.allclose(a, b, rtol=1e-9) for a, b in zip(*slopes, strict=True))
    with_entropy = applied(HeadLogProbs, hidden, weight, bias, ids, temperature, True)[0]
    assert torch.allclose(
        torch.autograd.grad(with_entropy.sum(), hidden)[0], slopes[0][0], rtol=1e-12
    )
    if bias is None:
        # A frozen backbone.
        with_grad = torch.autograd.grad(log_probs(hidden.detach(), weight).sum(), weight)
        assert torch.allclose(
            with_grad[0],
            torch.autograd.grad(scaled.gather(1, ids[:, None]).sum(), weight)[0],
            rtol=1e-9,
        )


def test_large_logits_cost_no_digits() -> None:
    """Logits near -1000: float32 holds them to 6e-5, and their differences here exactly."""
    hidden, weight = torch.ones(1, 1), torch.tensor([[-1000.0], [-1001.0], [-1003.0]])
    chosen, _ = applied(HeadLogProbs, hidden, weight, None, torch.tensor([1]), 1.0, False)
    # -1 - ln(1 + e^-1 + e^-3)
    assert float(chosen) == pytest.approx(-1.3490122, abs=1e-6)
