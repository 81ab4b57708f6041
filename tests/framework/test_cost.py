"""Counting what models compute: tokens without pads, operations of matrix products, by hand."""

from __future__ import annotations

import pytest
import torch

from preflab.cost import WORK, Profile, peak_flops
from preflab_builtin.causal_lm.config import Family, TinyConfig
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.sources import TinySource
from support import WORDS, cpu_runtime

D, LAYERS, V = 32, 2, 23


def policy(fast: bool) -> CausalPolicy:
    config = TinyConfig(family=Family.gpt2, layers=LAYERS, width=D, heads=2)
    return TinySource(config, WORDS, fast=fast).create(torch.Generator().manual_seed(0))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("trained", [True, False])
def test_a_pass_is_counted_by_hand(fast: bool, trained: bool) -> None:
    model = policy(fast)
    mask = torch.tensor([[False, True, True, True], [True, True, False, False]])
    before = WORK.reading()
    with torch.set_grad_enabled(trained):
        hidden = model.hidden(torch.zeros(2, 4, dtype=torch.long), mask)
    done = WORK.since(before)
    # 5 real tokens; a block has 12 D^2 numbers in its matrices; tokens see 1 + 2 + 3 and 1 + 2
    # places: 9 pairs, 4 D each.
    expected = 5 * 2 * LAYERS * 12 * D * D + 9 * 4 * D * LAYERS
    assert (done.tokens, done.flops) == (5, expected * (3 if trained else 1))
    before = WORK.reading()
    model.log_probs(hidden[mask], torch.zeros(5, dtype=torch.long))
    assert WORK.since(before).flops == 5 * 2 * D * V * (3 if trained else 1)


def test_decoding_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = policy(fast=True)
    with torch.inference_mode():
        _, cache = model.prefill(
            torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 3, dtype=torch.bool)
        )
        before = WORK.reading()
        model.extend(torch.zeros(2, dtype=torch.long), cache)
    # Two tokens at the fourth place: each sees 4 places; one row of logits each.
    assert WORK.since(before).flops == 2 * (
        2 * LAYERS * 12 * D * D + 4 * 4 * D * LAYERS + 2 * D * V
    )


def test_a_prompt_that_is_shared_is_counted_once() -> None:
    model = policy(fast=True)
    ids, mask = torch.zeros(3, 6, dtype=torch.long), torch.ones(3, 6, dtype=torch.bool)
    before = WORK.reading()
    model.hidden_at(ids, mask, mask, prompt_width=4)
    assert WORK.since(before).tokens == 4 + 3 * 2


def test_what_the_last_layer_leaves_out_is_not_counted() -> None:
    """4 tokens, the last one wanted: of the second layer 3 tokens' linear work and the pairs of 3
    tokens are left out."""
    model = policy(fast=True)
    ids, mask = torch.zeros(1, 4, dtype=torch.long), torch.ones(1, 4, dtype=torch.bool)
    before = WORK.reading()
    with torch.no_grad():
        model.hidden_at(ids, mask, torch.tensor([[False, False, False, True]]))
    assert WORK.since(before).flops == (4 + 1) * 2 * 12 * D * D + (10 + 4) * 4 * D


def test_frozen_layers_are_not_counted_as_trained() -> None:
    model = policy(fast=True)
    model.module.requires_grad_(False)
    before = WORK.reading()
    model.hidden(torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.bool))
    assert WORK.since(before).flops == 2 * 2 * LAYERS * 12 * D * D + 3 * 4 * D * LAYERS


def test_the_profile_adds_up() -> None:
    profile = Profile(cpu_runtime())
    WORK.add(1, 1000.0)
    profile.ended("first")
    profile.ended("second")
    found = profile.metrics()
    possible = peak_flops(torch.device("cpu"), torch.get_num_threads()) * (
        found["time/first"] + found["time/second"]
    )
    assert found["time/peak_fraction"] == pytest.approx(1000 / possible)
