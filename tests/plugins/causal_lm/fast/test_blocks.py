"""Our forward passes of GPT-2 and Llama against transformers' own, on every layout: states,
gradients, decoding."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from preflab_builtin.causal_lm.config import Family, TinyConfig
from preflab_builtin.causal_lm.fast import projections
from preflab_builtin.causal_lm.fast.decoding import SPARE_SLOTS, SlotCache
from preflab_builtin.causal_lm.fast.packing import (
    Rows,
    SharedRows,
    similar_lengths,
    with_shared_prefixes,
)
from preflab_builtin.causal_lm.fast.supported import blocks_of
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.sources import TinySource
from preflab_builtin.causal_lm.tokenizer import byte_tokenizer
from preflab_builtin.sft.dropout import residual_dropout
from support import WORDS, gradients, largest_difference

SHAPES = ["gpt2", "llama", "llama with shared heads"]


def policy(shape: str, fast: bool = True) -> CausalPolicy:
    if shape != "llama with shared heads":
        family = Family(shape)
        made = TinySource(TinyConfig(family=family, layers=3, width=32, heads=4), WORDS, fast=fast)
        model = made.create(torch.Generator().manual_seed(3))
    else:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            sizes: dict[str, Any] = {
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
            }
            config = LlamaConfig(
                vocab_size=258, num_key_value_heads=2, attention_bias=True, pad_token_id=0, **sizes
            )
            model = CausalPolicy(LlamaForCausalLM(config), byte_tokenizer(), fast)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(
            5
        )  # biases start at zero: give all weights something to do
        for parameter in model.module.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def batch(rows: int = 6, width: int = 14, prefix: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask: prompts of ragged length on the left, responses of ragged length behind
    them."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 20, (rows, width), generator=generator)
    slots = torch.arange(width)[None, :]
    left = torch.randint(0, prefix, (rows, 1), generator=generator)
    right = torch.randint(prefix + 1, width + 1, (rows, 1), generator=generator)
    return ids, (slots >= left) & (slots < right)


WANTED = {
    "everything": lambda mask: mask,
    "responses": lambda mask: mask & (torch.arange(mask.shape[1]) >= 6),
    "last": lambda mask: mask & (mask.flip(1).long().cumsum(1).flip(1) == 1),
    "one row": lambda mask: mask & (torch.arange(len(mask)) == 2)[:, None],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize("together", [False, True])
def test_states_and_gradients_are_those_of_transformers(
    shape: str, wanted: str, together: bool
) -> None:
    ids, mask = batch()
    if together:  # three rows with a prompt of six tokens, three with one of two
        for group, pads in ((slice(0, 3), 0), (slice(3, 6), 4)):
            ids[group, :6], mask[group, :6] = ids[group.start, :6], torch.arange(6) >= pads
    places = WANTED[wanted](mask)
    weights = torch.randn(int(places.sum()), 32, generator=torch.Generator().manual_seed(2))
    found = []
    for fast in (True, False):
        model = policy(shape, fast)
        states = model.hidden_at(ids, mask, places, prefix=6)
        torch.autograd.backward((states * weights).sum())
        found.append((states.detach(), gradients(model.module)))
    assert (blocks_of(policy(shape).module)) is not None
    assert torch.allclose(found[0][0], found[1][0], atol=2e-5)
    assert found[0][1].keys() == found[1][1].keys()
    scale = max(float(g.abs().max()) for g in found[1][1].values())
    assert largest_difference(found[0][1], found[1][1]) < 1e-5 * scale


def test_layouts_are_the_ones_meant() -> None:
    """Which batches share prompts, and which trim the last layer: else the test above would
    compare less than it says."""
    ids, mask = batch()
    last = WANTED["last"](mask)
    assert with_shared_prefixes(ids, mask, last, 6) is None  # all prompts differ
    ids[:3, :6], mask[:3, :6] = ids[0, :6], mask[0, :6]
    found = with_shared_prefixes(ids, mask, last, 6)
    assert isinstance(found, SharedRows)
    assert found.wanted_grid is not None
    assert len(found.ids) == int(mask.sum()) - 2 * int(
        mask[0, :6].sum()
    )  # two copies of the prompt are not there
    assert with_shared_prefixes(ids, mask, last, 0) is None
    long = torch.nn.functional.pad(mask, (0, 100), value=False)
    long[0, 14:] = (
        True  # one row is eight times as long as the others: the grid of all would be mostly pads
    )
    assert with_shared_prefixes(torch.nn.functional.pad(ids, (0, 100)), long, long, 6) is None
    plain = Rows.of(ids, mask, mask)
    assert plain.wanted_grid is None
    assert Rows.of(ids, mask, last).wanted_grid is not None
    assert len(plain.ids) == int(mask.sum())  # no pads


def test_rows_of_like_length_are_laid_out_together() -> None:
    # 8+8+9: 27 slots for 25 tokens; with 20 it would be 80 for 45. 20 alone; 20+19 hold 39 of 40.
    assert similar_lengths([8, 8, 9, 20, 19]) == [3, 2]
    assert similar_lengths([5]) == [1]
    assert sum(similar_lengths([1, 50, 1, 50, 1])) == 5


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize(
    "smallest",
    [projections.SMALLEST_MATRIX, 0],
    ids=["matrices as stored", "matrices laid out anew"],
)
def test_decoding_is_the_whole_forward_pass(
    shape: str, ragged: bool, graphs: bool, smallest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More steps than slots are taken at once, with rows leaving in between, against transformers'
    own cache."""
    monkeypatch.setattr(projections, "SMALLEST_MATRIX", smallest)
    ids, mask = batch()
    ids, mask = ids[:, :6], mask[:, :6] if ragged else torch.ones(6, 6, dtype=torch.bool)
    steps = torch.randint(
        0, 20, (6, 2 * SPARE_SLOTS + 3), generator=torch.Generator().manual_seed(4)
    )
    model, plain = policy(shape), policy(shape, fast=False)
    model.graphs = graphs  # on a CPU the same operations, not recorded
    with torch.inference_mode():
        (ours, cache), (theirs, other) = model.prefill(ids, mask), plain.prefill(ids, mask)
        assert isinstance(cache, SlotCache)
        assert torch.allclose(ours, theirs, atol=2e-5)
        for step in range(steps.shape[1]):
            if step in (5, SPARE_SLOTS + 1):
                rows = torch.tensor([0, 2, 3, 3] if step == 5 else [3, 1])
                cache, other, steps = cache.select(rows), other.select(rows), steps[rows]
            ours, cache = model.extend(steps[:, step], cache)
            theirs, other = plain.extend(steps[:, step], other)
            assert torch.allclose(ours, theirs, atol=5e-5)
    if projections.reordering_available():
        assert isinstance(cache, SlotCache)
        assert isinstance(cache.blocks.project, projections.ReorderedProjections)
        ends = (
            "c_attn",
            "c_proj",
            "c_fc",
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
            "head",
        )
        every = {part for name, part in model.module.named_modules() if name.endswith(ends)}
        assert set(cache.blocks.project.matrices) == (set() if smallest else every)


def test_modules_that_are_not_plain_keep_their_own_forward_pass() -> None:
    model = policy("gpt2")
    assert blocks_of(model.module) is not None
    ids, mask = batch()
    before = model.hidden(ids, mask)
    handle = model.module.transformer.h[0].mlp.register_forward_hook(
        lambda part, inputs, output: output * 0
    )
    assert not torch.allclose(model.hidden(ids, mask), before, atol=1e-3)  # the hook was called
    handle.remove()
    model.module.transformer.h[0].mlp.c_fc = torch.nn.Sequential(
        model.module.transformer.h[0].mlp.c_fc, Doubled(1)
    )
    assert blocks_of(model.module) is None  # an adapter: its own forward pass counts


@pytest.mark.parametrize("shape", SHAPES)
def test_bfloat16_trains_and_decodes_like_transformers(shape: str) -> None:
    """Under autocast: log-probs in float32 from states in bfloat16 (8 bits: 3 digits at best),
    gradients alike."""
    ids, mask = batch()
    places = WANTED["responses"](mask)
    found = []
    for fast in (True, False):
        model = policy(shape, fast)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            log_probs, _ = model.log_probs(model.hidden_at(ids, mask, places), ids[places])
        assert log_probs.dtype == torch.float32
        torch.autograd.backward(log_probs.sum())
        model.graphs = True
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            cache = model.prefill(ids[:, :6], torch.ones(6, 6, dtype=torch.bool))[1]
            logits, _ = model.extend(ids[:, 6], cache)
        assert logits.dtype == torch.float32
        found.append(
            (
                log_probs.detach(),
                torch.cat([g.flatten() for g in gradients(model.module).values()]),
                logits,
            )
        )
    (ours, our_gradient, our_logits), (theirs, their_gradient, their_logits) = found
    assert float((ours - theirs).abs().max()) < 0.2
    assert float((our_logits - their_logits).abs().max()) < 0.2
    assert float(torch.nn.functional.cosine_similarity(our_gradient, their_gradient, dim=0)) > 0.99


def test_a_recorded_step_goes_with_its_cache() -> None:
    """Not when Python next looks for circles: a GPU's memory would fill with recordings of batches
    long decoded."""
    model = policy("gpt2")
    model.graphs = True
    gc.disable()
    try:
        with torch.inference_mode():
            cache = model.prefill(
                torch.ones(2, 4, dtype=torch.long), torch.ones(2, 4, dtype=torch.bool)
            )[1]
            cache = model.extend(torch.ones(2, dtype=torch.long), cache)[1]
        assert isinstance(cache, SlotCache)
        step = weakref.ref(cache.step)
        assert step() is not None
        del cache
        assert step() is None
    finally:
        gc.enable()


def test_a_state_where_no_token_stands_is_refused() -> None:
    ids, mask = batch()
    with pytest.raises(ValueError, match="is a prompt empty"):
        policy("llama").hidden_at(ids, mask, torch.ones_like(mask))


@pytest.mark.parametrize("shape", SHAPES)
def test_dropout_is_the_same_with_and_without_pads(shape: str) -> None:
    ids = torch.randint(0, 20, (3, 7), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(7)[None, :] < torch.tensor([[7], [4], [1]])
    found: list[torch.Tensor] = []
    for fast in (True, False):
        model = policy(shape, fast)
        with residual_dropout(model.module, 0.5, [7, 4, 1], [("noise", i) for i in range(3)]):
            found.append(model.hidden_at(ids, mask, mask))
        assert (
            float((model.hidden_at(ids, mask, mask) - found[-1]).abs().max()) > 1e-2
        )  # it did drop
    assert torch.allclose(found[0], found[1], atol=2e-5)


class Doubled(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.full((width,), 2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor
