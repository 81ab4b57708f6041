"""`runtime.checkpointing`: less is kept for the backward pass, and no number changes."""

from __future__ import annotations

import pytest
import torch

from preflab_builtin.causal_lm.config import Family, TinyConfig
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.sources import TinySource
from preflab_builtin.sft.dropout import residual_dropout
from support import WORDS, gradients

IDS = torch.arange(3, 19).repeat(4, 2).view(4, 32) % 20
MASK = torch.ones_like(IDS, dtype=torch.bool)


def policy(family: Family, fast: bool, checkpointing: bool) -> CausalPolicy:
    source = TinySource(TinyConfig(family=family, layers=4, width=32, heads=2), WORDS, fast=fast)
    source.checkpointing = checkpointing
    return source.create(torch.Generator().manual_seed(1))


def passed(model: CausalPolicy, wanted: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Last hidden states, after a backward pass; bytes that were kept for it, weights not
    counted."""
    weights = {p.data_ptr() for p in model.module.parameters()}
    kept = dict[int, int]()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        states = model.hidden_at(IDS, MASK, wanted)
    torch.autograd.backward((states * torch.linspace(0, 1, 32)).sum())
    return states.detach(), sum(kept.values())


@pytest.mark.parametrize("family", [Family.gpt2, Family.llama])
@pytest.mark.parametrize("fast", [True, False])
def test_the_same_numbers_with_less_kept(family: Family, fast: bool) -> None:
    last = torch.zeros_like(MASK)
    last[:, -1] = True
    for wanted in (MASK, last):
        plain, less = policy(family, fast, False), policy(family, fast, True)
        states, kept = passed(plain, wanted)
        again, kept_less = passed(less, wanted)
        assert torch.equal(states, again)
        first, second = gradients(plain.module), gradients(less.module)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert kept_less < 0.5 * kept
    assert not less.module.training
    with torch.no_grad():
        logits, cache = less.prefill(IDS[:, :5], MASK[:, :5])
        assert torch.isfinite(less.extend(IDS[:, 5], cache)[0] + logits).all()


@pytest.mark.parametrize("fast", [True, False])
def test_dropout_is_drawn_once(fast: bool) -> None:
    """Its noise would be another one at the second time: with dropout nothing is computed again."""
    results = []
    for checkpointing in (False, True):
        model = policy(Family.gpt2, fast, checkpointing)
        seeds = [(1, row) for row in range(len(IDS))]
        with residual_dropout(model.module, 0.5, [IDS.shape[1]] * len(IDS), seeds):
            results.append((passed(model, MASK)[0], gradients(model.module)))
    assert torch.equal(results[0][0], results[1][0])
    assert all(torch.equal(results[0][1][n], results[1][1][n]) for n in results[0][1])
