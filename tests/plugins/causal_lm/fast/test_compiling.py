"""Compiled blocks compute what plain ones do, with code that is made once. torch's
trace of them runs here, which needs no compiler of C++; tests/end_to_end has one compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from plugins.causal_lm.fast.test_blocks import SHAPES, WANTED, batch, policy
from plugins.causal_lm.test_checkpointing import passed
from preflab.runtime import Device, Runtime, RuntimeConfig
from preflab_builtin.causal_lm.config import Family
from preflab_builtin.causal_lm.fast import compiling
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.sft.dropout import residual_dropout
from support import FakeContext, gradients, largest_difference, represented_by

QUIET = (
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning:torch"),
)
"""What torch itself asks for and makes while it traces: it hides these warnings, unless they are
errors."""
pytestmark = [pytest.mark.slow, *QUIET]
Codes = list[torch.fx.GraphModule]


def collecting(monkeypatch: pytest.MonkeyPatch, backend: str) -> Iterator[Codes]:
    """What is made from now on; a backend of torch runs it."""
    from torch._dynamo import lookup_backend, reset  # takes a second

    made: Codes = []
    run = lookup_backend(backend)

    def make(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        made.append(graph)
        return run(graph, inputs)

    monkeypatch.setattr(compiling, "BACKEND", make)
    reset()
    yield made
    reset()
    compiling._code_of.cache_clear()


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Codes]:
    """What is made, forward and backward, from now on."""
    yield from collecting(monkeypatch, "aot_eager")


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Codes]:
    """The same, of which autograd computes the backward pass: half of the time."""
    yield from collecting(monkeypatch, "eager")


def pair(shape: str) -> tuple[CausalPolicy, CausalPolicy]:
    """A policy with plain blocks, and with compiled ones."""
    plain, other = policy(shape), policy(shape)
    other.compiling = True
    return plain, other


@pytest.mark.parametrize("shape", represented_by(["llama with shared heads"], SHAPES))
def test_states_and_gradients_are_those_of_plain_blocks(shape: str, codes: Codes) -> None:
    """In every layout of the batch, of which each has its own number of tokens, by the same four
    codes: what is before and what is behind attention, with a gradient and without. All three
    layers share them, and decoding, which comes last, is not compiled."""
    ids, mask = batch()
    ids[:3, :6], mask[:3, :6] = ids[0, :6], True  # three rows with one prompt
    plain, other = pair(shape)
    for prefix in (0, 6):
        for wanted in WANTED:
            places, results = WANTED[wanted](mask), []
            for model in (plain, other):
                model.module.zero_grad()
                states = model.hidden_at(ids, mask, places, prompt_width=prefix)
                torch.autograd.backward((states * torch.linspace(0, 1, 32)).sum())
                with torch.no_grad():
                    judged = model.hidden_at(ids, mask, places, prompt_width=prefix)
                results.append((states.detach(), judged, gradients(model.module)))
            (first, judged, slopes), (second, judged_too, slopes_too) = results
            assert torch.allclose(first, second, atol=1e-5)
            assert torch.allclose(judged, judged_too, atol=1e-5)
            scale = max(float(slope.abs().max()) for slope in slopes.values())
            assert largest_difference(slopes, slopes_too) < 1e-6 * scale
    with torch.no_grad():
        logits, cache = other.prefill(ids[:, :6], mask[:, :6])
        assert torch.isfinite(other.extend(ids[:, 6], cache)[0] + logits).all()
    assert len(codes) == 4


def test_any_number_of_tokens_takes_the_same_code(graphs: Codes) -> None:
    """Rows of 1 to 8, each ragged. One token alone would need code of its own: it is computed as it
    is."""
    plain, other = pair("llama")
    for rows in (1, 2, 5, 8):
        ids, mask = batch(rows, width=9)
        for width in (7, 9):
            part, real = ids[:, :width], mask[:, :width]
            expected = plain.hidden_at(part, real, real)
            assert torch.allclose(other.hidden_at(part, real, real), expected, atol=1e-5)
    assert len(graphs) == 2
    one = torch.ones(1, 1, dtype=torch.bool)
    states = plain.hidden_at(ids[:1, :1], one, one)
    assert torch.equal(other.hidden_at(ids[:1, :1], one, one), states)
    assert len(graphs) == 2


def test_the_code_is_made_for_the_same_number_whatever_the_first_batch_has(graphs: Codes) -> None:
    """Else a run that goes on with another batch than it began with could have other last bits."""
    _, other = pair("llama")
    ids, mask = batch(4)
    other.hidden_at(ids, mask, mask)
    sizes: list[Any] = [
        node.meta["example_value"].shape[0]
        for graph in graphs
        for node in graph.graph.nodes
        if node.op == "placeholder" and isinstance(node.meta["example_value"], torch.Tensor)
    ]
    hints = {size.node.hint for size in sizes if isinstance(size, torch.SymInt)}
    assert hints == {compiling.USUAL}
    assert int(mask.sum()) != compiling.USUAL


def test_frozen_weights_need_no_gradient(graphs: Codes) -> None:
    """Those of a reference, and of the first blocks where only the last ones are trained."""
    results = []
    for model in pair("llama"):
        model.module.requires_grad_(False)
        model.base.layers[2].requires_grad_(True)
        ids, mask = batch()
        torch.autograd.backward(model.hidden_at(ids, mask, mask).square().sum())
        results.append(gradients(model.module))
    assert largest_difference(*results) < 1e-4
    assert results[0].keys() == results[1].keys()
    assert all(name.startswith("model.layers.2") for name in results[1])
    assert graphs


@pytest.mark.parametrize(
    "family, most", represented_by([("gpt2", 1.4)], [("gpt2", 1.4), ("llama", 1.0)])
)
def test_what_is_kept_for_the_backward_pass(family: str, most: float, codes: Codes) -> None:
    """Of a GPT-2 what gelu gives is kept too, which plain blocks compute again. With checkpointing
    a block's input is kept alone, and the numbers are the same."""
    plain, other = pair(family)
    mask = torch.ones(4, 32, dtype=torch.bool)
    states, kept = passed(plain, mask)
    compiled_states, compiled_kept = passed(other, mask)
    assert torch.allclose(states, compiled_states, atol=1e-5)
    assert compiled_kept <= most * kept
    before = gradients(other.module)
    other.module.zero_grad()
    other.checkpointing = True
    again, least = passed(other, mask)
    assert torch.equal(again, compiled_states)
    assert largest_difference(gradients(other.module), before) == 0
    assert least < 0.5 * compiled_kept
    assert len(codes) == 2


@pytest.mark.reliability
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_adapters_are_compiled_too(family: str, codes: Codes) -> None:
    pytest.importorskip("peft", reason="the extra lora is not installed")
    from plugins.causal_lm.fast.test_low_rank import inject

    results, (ids, mask) = [], batch()
    for model in pair(family):
        inject(model)
        torch.autograd.backward(model.hidden_at(ids, mask, mask).square().sum())
        results.append(gradients(model.module))
    assert any("lora_A" in name for name in results[0])
    scale = max(float(slope.abs().max()) for slope in results[0].values())
    assert largest_difference(*results) < 1e-6 * scale
    assert len(codes) == 4  # the input of the first block, which is frozen, needs no gradient


@pytest.mark.parametrize("family", represented_by(["gpt2"], ["gpt2", "llama"]))
def test_bfloat16(family: str, codes: Codes) -> None:
    results, (ids, mask) = [], batch()
    for model in pair(family):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            log_probs, _ = model.log_probs(model.hidden_at(ids, mask, mask), ids[mask])
        torch.autograd.backward(log_probs.sum())
        gradient = torch.cat([slope.flatten() for slope in gradients(model.module).values()])
        results.append((log_probs.detach(), gradient))
    (log_probs, gradient), (log_probs_too, gradient_too) = results
    assert float((log_probs - log_probs_too).abs().max()) < 0.1
    assert float(torch.nn.functional.cosine_similarity(gradient, gradient_too, dim=0)) > 0.999
    assert len(codes) == 2


def test_dropout_is_not_compiled(codes: Codes) -> None:
    """Its hooks draw noise by the row, which no code knows."""
    ids, mask = batch(3, width=7)
    results = []
    for model in pair(Family.gpt2):
        with residual_dropout(
            model.module, 0.5, mask.sum(1).tolist(), [("noise", i) for i in range(3)]
        ):
            results.append(model.hidden_at(ids, mask, mask))
    assert torch.equal(*results)
    assert not codes


def test_a_step_that_needs_ever_more_codes_is_an_error(
    graphs: Codes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not go on uncompiled in silence."""
    from torch._dynamo import config
    from torch._dynamo.exc import FailOnRecompileLimitHit

    monkeypatch.setattr(compiling, "MOST", 1)
    _, other = pair("llama")
    ids, mask = batch()
    with config.patch(recompile_limit=1):
        other.hidden_at(ids, mask, mask)
        with torch.no_grad(), pytest.raises(FailOnRecompileLimitHit):
            other.hidden_at(ids, mask, mask)


def test_every_model_of_a_run_is_compiled_if_that_is_asked_for(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    context.runtime = Runtime(RuntimeConfig(device=Device.cpu, threads=1, compile=True))
    made: Any = context.policy("initial")
    scalar = made.scalar_model(torch.Generator())
    heads = made.heads_model(torch.Generator(), ["a", "b"])
    source, read = context.source, list[Any]()
    for load, model in (("load", made), ("load_scalar", scalar), ("load_heads", heads)):
        model.save(tmp_path / load)
        read.append(getattr(source, load)(tmp_path / load))
    models = [made, made.copy(), scalar, heads, heads.weighted([0.5, 0.5]), *read]
    assert [model._fast_path().run for model in models] == [compiling.compiled] * len(models)
    plain: Any = FakeContext(tmp_path).policy("initial")
    assert plain._fast_path().run is not compiling.compiled
