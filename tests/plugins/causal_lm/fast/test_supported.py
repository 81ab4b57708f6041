"""Nothing that a module does besides is left out by a fast path: whoever changed a part, the policy
computes what the changed module computes."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from preflab_builtin.causal_lm.config import Family, TinyConfig, TokenizerKind
from preflab_builtin.causal_lm.fast.supported import blocks_of
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.sources import TinySource
from support import gradients, largest_difference

FAMILIES = [Family.gpt2, Family.llama]


def policy(family: Family, fast: bool) -> CausalPolicy:
    sizes = {"layers": 2, "width": 32, "heads": 4, "tokenizer": TokenizerKind.bytes}
    source = TinySource(TinyConfig(family=family, **sizes), None, fast=fast)  # type: ignore[arg-type]
    made = source.create(torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in made.module.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return made


def block(made: CausalPolicy) -> Any:
    return made.base.h[0] if made.module.config.model_type == "gpt2" else made.base.layers[0]


def last(made: CausalPolicy) -> tuple[nn.Module, str]:
    """The MLP of the first block, and the name of its last projection."""
    return block(made).mlp, "c_proj" if hasattr(block(made).mlp, "c_proj") else "down_proj"


def twice(part: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output * 2


class Doubled(nn.Module):
    """A wrapper as plugins write it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = 2 * self.inner(x)
        return out


class Halves(nn.Module):
    """A parametrization."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight / 2


class Marked(torch.Tensor):
    """A tensor of a class of its own, as those of quantised weights are."""


def _wrapped(made: CausalPolicy) -> None:
    mlp, name = last(made)
    setattr(mlp, name, Doubled(getattr(mlp, name)))


def _subclassed(made: CausalPolicy) -> None:
    part = block(made).mlp
    own = type(part)
    part.__class__ = type(own.__name__, (own,), {"forward": lambda s, x: 2 * own.forward(s, x)})


def _forward_replaced(made: CausalPolicy) -> None:
    part = block(made).mlp
    own = part.forward
    part.forward = MethodType(lambda self, x: 2 * own(x), part)


def _parametrized(made: CausalPolicy) -> None:
    mlp, name = last(made)
    parametrize.register_parametrization(getattr(mlp, name), "weight", Halves())


def _hooked(made: CausalPolicy) -> None:
    block(made).mlp.register_forward_hook(twice)


def _hooked_before(made: CausalPolicy) -> None:
    block(made).mlp.register_forward_pre_hook(lambda part, inputs: (2 * inputs[0],))


def _norm_replaced(made: CausalPolicy) -> None:
    name = "ln_1" if hasattr(block(made), "ln_1") else "input_layernorm"
    setattr(block(made), name, nn.Identity())


def _drops(made: CausalPolicy) -> None:
    """Of its own, at every call the same."""
    if hasattr(made.base, "drop"):
        made.base.drop = Doubled(nn.Identity())
    else:
        _wrapped(made)


def _head_hooked(made: CausalPolicy) -> None:
    made.head.register_forward_hook(twice)


def _head_wrapped(made: CausalPolicy) -> None:
    made.module.set_output_embeddings(Doubled(made.head))


CHANGES: dict[str, Callable[[CausalPolicy], None]] = {
    "a projection in a wrapper": _wrapped,
    "a subclass": _subclassed,
    "another forward": _forward_replaced,
    "a parametrized weight": _parametrized,
    "a hook": _hooked,
    "a hook before": _hooked_before,
    "another norm": _norm_replaced,
    "another dropout": _drops,
    "a hook on the head": _head_hooked,
    "a head in a wrapper": _head_wrapped,
}


def log_probs(made: CausalPolicy) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Of the tokens of two rows; the logits of the first steps of decoding; gradients."""
    ids = torch.randint(0, 250, (2, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids, dtype=torch.bool)
    hidden = made.hidden_at(ids, mask, mask)
    found, _ = made.log_probs(hidden, ids.roll(-1, 1).flatten())
    torch.autograd.backward(found.sum() / 10)
    with torch.no_grad():
        first, cache = made.prefill(ids[:, :5], mask[:, :5])
        second, _ = made.extend(ids[:, 5], cache)
    return found.detach(), torch.cat([first, second]), gradients(made.module)


def assert_same(family: Family, change: Callable[[CausalPolicy], None]) -> None:
    results = []
    for fast in (True, False):
        made = policy(family, fast)
        change(made)
        results.append(log_probs(made))
    assert torch.allclose(results[0][0], results[1][0], atol=1e-5)
    assert torch.allclose(results[0][1], results[1][1], atol=1e-5)
    scale = max(float(g.abs().max()) for g in results[1][2].values())
    assert largest_difference(results[0][2], results[1][2]) < 1e-5 * scale


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_to_a_part_counts(family: Family, change: str) -> None:
    assert_same(family, CHANGES[change])
    made = policy(family, True)
    before = log_probs(policy(family, True))[0]
    CHANGES[change](made)
    # The change changes something, or the test above would show nothing.
    assert float((log_probs(made)[0] - before).abs().max()) > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_only_known_modules_take_the_fast_path(family: Family) -> None:
    assert blocks_of(policy(family, True).module) is not None
    made = policy(family, True)
    made.module.config._attn_implementation = "somebodys_own"
    assert blocks_of(made.module) is None
    made = policy(family, True)
    mlp, name = last(made)
    weight = getattr(mlp, name).weight.detach().as_subclass(Marked)
    getattr(mlp, name)._parameters["weight"] = weight
    assert blocks_of(made.module) is None  # a quantised weight is a tensor of another class
    made = policy(family, True)
    made.module.train()
    for part in made.module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.5
        if hasattr(part, "attention_dropout"):
            part.attention_dropout = 0.5
    assert blocks_of(made.module) is None
    made.module.eval()
    assert blocks_of(made.module) is not None


def test_a_change_to_a_scalar_head_counts() -> None:
    model = policy(Family.llama, True).scalar_model(torch.Generator().manual_seed(1))
    hidden = torch.randn(3, 32, generator=torch.Generator().manual_seed(2))
    before = model.values(hidden).detach()
    model.module.score.register_forward_hook(twice)
    assert torch.equal(model.values(hidden).detach(), 2 * before)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_hook_on_all_modules_counts(family: Family) -> None:
    own = log_probs(policy(family, True))[0]
    handle = nn.modules.module.register_module_forward_hook(
        lambda part, inputs, output: output * 1.1 if isinstance(part, nn.Embedding) else None
    )
    try:
        assert_same(family, lambda made: None)
        assert float((log_probs(policy(family, True))[0] - own).abs().max()) > 1e-3
    finally:
        handle.remove()
