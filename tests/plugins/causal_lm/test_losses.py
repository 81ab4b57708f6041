"""Token losses: which tokens count, by how much, and that cutting into pieces changes nothing."""

from __future__ import annotations

import math

import pytest
import torch

from preflab_builtin.causal_lm.config import TinyConfig
from preflab_builtin.causal_lm.losses import nll_sum
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.sources import TinySource
from support import WORDS, gradients, largest_difference


def policy() -> CausalPolicy:
    return TinySource(TinyConfig(layers=2, width=32, heads=2), WORDS).create(
        torch.Generator().manual_seed(3)
    )


def from_start(lengths: torch.Tensor, starts: torch.Tensor, width: int) -> torch.Tensor:
    """[B, width] bool: tokens starts..lengths-1 of right-padded rows."""
    slots = torch.arange(width)[None, :]
    return (slots >= starts[:, None]) & (slots < lengths[:, None])


def test_uniform_logits_cost_log_v_per_token() -> None:
    model = policy()
    torch.nn.init.zeros_(model.module.get_input_embeddings().weight)  # tied: all logits are 0
    ids, mask = torch.tensor([[1, 2, 3, 4]]), torch.ones(1, 4, dtype=torch.bool)
    # 3 predicted tokens over 23 ids: 3 log 23
    assert nll_sum(model, ids, mask, mask).item() == pytest.approx(3 * math.log(23), rel=1e-6)


def test_loss_equals_the_definition() -> None:
    model = policy()
    ids = torch.randint(0, 20, (3, 7), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(7)[None, :] < torch.tensor([7, 4, 5])[:, None]
    targets = from_start(torch.tensor([7, 4, 5]), torch.tensor([3, 1, 4]), 7)
    expected = 0.0
    for i, (length, start) in enumerate([(7, 3), (4, 1), (5, 4)]):
        logits = model.module(ids[i : i + 1, :length]).logits.detach()
        log_probs = logits.double().log_softmax(-1)[0]
        expected -= sum(float(log_probs[t - 1, ids[i, t]]) for t in range(start, length))
    assert nll_sum(model, ids, mask, targets).item() == pytest.approx(expected, rel=1e-5)


def test_gradient_reaches_target_logits_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero on prompt and pad, not zero on the end token: read at the hidden states before the
    unembedding."""
    model = policy()
    eos, pad = model.tokenizer.eos_id, model.tokenizer.pad_id
    ids = torch.tensor([[1, 2, 3, 4, eos, pad, pad]])
    lengths, starts = torch.tensor([5]), torch.tensor([3])
    states = torch.randn(1, 7, 32, requires_grad=True)
    monkeypatch.setattr(model, "hidden_at", lambda ids, mask, wanted: states[wanted])
    mask, targets = torch.arange(7)[None, :] < lengths[:, None], from_start(lengths, starts, 7)
    torch.autograd.backward(nll_sum(model, ids, mask, targets))
    assert states.grad is not None
    # Targets are tokens 3 and 4 (the end token); they are predicted at slots 2 and 3.
    assert (states.grad[0].abs().sum(-1) > 0).tolist() == [
        False,
        False,
        True,
        True,
        False,
        False,
        False,
    ]


def test_unembedding_only_targets_gives_the_same_gradient() -> None:
    """transformers unembeds every slot and leaves out labels of -100; preflab unembeds only
    what is before a target."""
    model = policy()
    ids = torch.randint(0, 20, (3, 7), generator=torch.Generator().manual_seed(1))
    lengths, starts = torch.tensor([7, 4, 5]), torch.tensor([3, 1, 4])
    mask, targets = torch.arange(7)[None, :] < lengths[:, None], from_start(lengths, starts, 7)
    loss = nll_sum(model, ids, mask, targets) / targets.sum()
    torch.autograd.backward(loss)
    own_gradients = gradients(model.module)
    model.module.zero_grad()
    labels = torch.where(targets, ids, -100)
    transformers_loss = model.module(ids, attention_mask=mask.long(), labels=labels).loss
    torch.autograd.backward(transformers_loss)
    assert loss.item() == pytest.approx(transformers_loss.item(), rel=1e-6)
    assert largest_difference(own_gradients, gradients(model.module)) < 1e-6


@pytest.mark.parametrize("fast", [True, False])
def test_temperature_divides_logits(fast: bool) -> None:
    model = policy()
    model.fast = fast
    hidden, ids = torch.randn(5, 32), torch.tensor([0, 1, 2, 3, 4])
    scaled = (model.logits(hidden) / 0.7).log_softmax(-1)
    log_probs, entropies = model.log_probs(hidden, ids, 0.7, with_entropy=True)
    assert torch.allclose(log_probs, scaled.gather(-1, ids[:, None])[:, 0], atol=1e-6)
    assert torch.allclose(entropies, -(scaled.exp() * scaled).sum(-1), atol=1e-6)
    assert not torch.allclose(model.log_probs(hidden, ids)[0], log_probs, atol=1e-3)
