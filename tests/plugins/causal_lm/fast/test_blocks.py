"""The fast paths of GPT-2 and Llama against transformers' own forward pass, on every layout:
states, gradients, decoding."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from preflab_builtin.causal_lm.config import Family, TinyConfig
from preflab_builtin.causal_lm.fast import projections
from preflab_builtin.causal_lm.fast.decoding import SlotCache
from preflab_builtin.causal_lm.fast.packing import (
    Rows,
    SharedRows,
    similar_lengths,
    with_shared_prefixes,
)
from preflab_builtin.causal_lm.fast.slots import SPARE_SLOTS
from preflab_builtin.causal_lm.fast.supported import blocks_of
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.sources import TinySource
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer
from preflab_builtin.sft.dropout import residual_dropout
from support import WORDS, gradients, largest_difference

SHAPES = ["gpt2", "llama", "llama with shared heads"]


def policy(shape: str, fast: bool = True) -> CausalPolicy:
    if shape != "llama with shared heads":
        config = TinyConfig(family=Family(shape), layers=3, width=32, heads=4)
        source = TinySource(config, WORDS, fast=fast)
        model = source.create(torch.Generator().manual_seed(3))
    else:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            llama = LlamaConfig(
                vocab_size=258,
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=2,
                attention_bias=True,
                pad_token_id=0,
            )
            model = CausalPolicy(LlamaForCausalLM(llama), byte_tokenizer(), fast)
    with torch.no_grad():
        # Biases start at zero: without this they would not matter.
        generator = torch.Generator().manual_seed(5)
        for parameter in model.module.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def batch(rows: int = 6, width: int = 14, prefix: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask: prompts of ragged length on the left, responses of ragged length after
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
@pytest.mark.parametrize("shared_prompts", [False, True])
def test_states_and_gradients_are_those_of_transformers(
    shape: str, wanted: str, shared_prompts: bool
) -> None:
    ids, mask = batch()
    if shared_prompts:  # three rows with a prompt of six tokens, three with one of two
        for group, pads in ((slice(0, 3), 0), (slice(3, 6), 4)):
            ids[group, :6], mask[group, :6] = ids[group.start, :6], torch.arange(6) >= pads
    places = WANTED[wanted](mask)
    weights = torch.randn(int(places.sum()), 32, generator=torch.Generator().manual_seed(2))
    results = []
    for fast in (True, False):
        model = policy(shape, fast)
        states = model.hidden_at(ids, mask, places, prompt_width=6)
        torch.autograd.backward((states * weights).sum())
        results.append((states.detach(), gradients(model.module)))
    (fast_states, fast_gradients), (plain_states, plain_gradients) = results
    assert blocks_of(policy(shape).module) is not None
    assert torch.allclose(fast_states, plain_states, atol=2e-5)
    assert fast_gradients.keys() == plain_gradients.keys()
    scale = max(float(g.abs().max()) for g in plain_gradients.values())
    assert largest_difference(fast_gradients, plain_gradients) < 1e-5 * scale


def test_which_batches_share_prompts_and_trim_the_last_layer() -> None:
    """Otherwise the test above would compare less than it says."""
    ids, mask = batch()
    last = WANTED["last"](mask)
    assert with_shared_prefixes(ids, mask, last, 6) is None  # all prompts differ
    ids[:3, :6], mask[:3, :6] = ids[0, :6], mask[0, :6]
    shared = with_shared_prefixes(ids, mask, last, 6)
    assert isinstance(shared, SharedRows)
    assert shared.wanted_grid is not None
    # Two copies of the prompt are not there.
    assert len(shared.ids) == int(mask.sum()) - 2 * int(mask[0, :6].sum())
    assert with_shared_prefixes(ids, mask, last, 0) is None
    # One row is eight times as long as the others: the grid of all would be mostly pads.
    long = torch.nn.functional.pad(mask, (0, 100), value=False)
    long[0, 14:] = True
    assert with_shared_prefixes(torch.nn.functional.pad(ids, (0, 100)), long, long, 6) is None
    plain = Rows.of(ids, mask, mask)
    assert plain.wanted_grid is None
    assert Rows.of(ids, mask, last).wanted_grid is not None
    assert len(plain.ids) == int(mask.sum())  # no pads


def test_rows_of_similar_length_share_a_grid() -> None:
    # 8+8+9: 27 slots for 25 tokens; with 20 it would be 80 for 45. 20 alone; 20+19 hold 39 of 40.
    assert similar_lengths([8, 8, 9, 20, 19]) == [3, 2]
    assert similar_lengths([5]) == [1]
    assert sum(similar_lengths([1, 50, 1, 50, 1])) == 5


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize(
    "smallest",
    [projections.SMALLEST_MATRIX, 0],
    ids=["stored matrices", "reordered matrices"],
)
def test_decoding_is_the_whole_forward_pass(
    shape: str, ragged: bool, graphs: bool, smallest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More steps than slots are allocated at a time, with rows leaving in between, against
    transformers' own cache."""
    monkeypatch.setattr(projections, "SMALLEST_MATRIX", smallest)
    ids, mask = batch()
    ids, mask = ids[:, :6], mask[:, :6] if ragged else torch.ones(6, 6, dtype=torch.bool)
    steps = torch.randint(
        0, 20, (6, 2 * SPARE_SLOTS + 3), generator=torch.Generator().manual_seed(4)
    )
    model, plain = policy(shape), policy(shape, fast=False)
    model.graphs = graphs  # on a CPU the same operations, not recorded
    with torch.inference_mode():
        logits, cache = model.prefill(ids, mask)
        plain_logits, plain_cache = plain.prefill(ids, mask)
        assert isinstance(cache, SlotCache)
        assert torch.allclose(logits, plain_logits, atol=2e-5)
        for step in range(steps.shape[1]):
            if step in (5, SPARE_SLOTS + 1):
                rows = torch.tensor([0, 2, 3, 3] if step == 5 else [3, 1])
                cache, plain_cache = cache.select(rows), plain_cache.select(rows)
                steps = steps[rows]
            logits, cache = model.extend(steps[:, step], cache)
            plain_logits, plain_cache = plain.extend(steps[:, step], plain_cache)
            assert torch.allclose(logits, plain_logits, atol=5e-5)
    if projections.reordering_available():
        assert isinstance(cache, SlotCache)
        assert isinstance(cache.blocks.project, projections.ReorderedProjections)
        ends = ("c_attn", "c_proj", "c_fc", "_proj", "head")
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
    assert blocks_of(model.module) is None  # an adapter: the module's own forward pass is right


@pytest.mark.parametrize("shape", SHAPES)
def test_bfloat16_trains_and_decodes_like_transformers(shape: str) -> None:
    """Under autocast: log-probs in float32 from states in bfloat16 (8 bits: 3 digits at best),
    gradients alike."""
    ids, mask = batch()
    places = WANTED["responses"](mask)
    results = []
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
        gradient = torch.cat([g.flatten() for g in gradients(model.module).values()])
        results.append((log_probs.detach(), gradient, logits))
    (log_probs, gradient, logits), (plain_log_probs, plain_gradient, plain_logits) = results
    assert float((log_probs - plain_log_probs).abs().max()) < 0.2
    assert float((logits - plain_logits).abs().max()) < 0.2
    cosine = torch.nn.functional.cosine_similarity(gradient, plain_gradient, dim=0)
    assert float(cosine) > 0.99


def test_a_recorded_step_is_freed_with_its_cache() -> None:
    """Not when Python next looks for reference cycles: a GPU's memory would fill with recordings of
    batches that were decoded long ago."""
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


def test_a_hidden_state_of_a_pad_is_refused() -> None:
    ids, mask = batch()
    with pytest.raises(ValueError, match="is a prompt empty"):
        policy("llama").hidden_at(ids, mask, torch.ones_like(mask))


@pytest.mark.parametrize("shape", SHAPES)
def test_dropout_is_the_same_with_and_without_pads(shape: str) -> None:
    ids = torch.randint(0, 20, (3, 7), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(7)[None, :] < torch.tensor([[7], [4], [1]])
    dropped: list[torch.Tensor] = []
    for fast in (True, False):
        model = policy(shape, fast)
        with residual_dropout(model.module, 0.5, [7, 4, 1], [("noise", i) for i in range(3)]):
            dropped.append(model.hidden_at(ids, mask, mask))
        assert not torch.allclose(model.hidden_at(ids, mask, mask), dropped[-1], atol=1e-2)
    assert torch.allclose(dropped[0], dropped[1], atol=2e-5)


class Doubled(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.full((width,), 2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor
