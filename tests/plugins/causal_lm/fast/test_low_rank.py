"""Adapters that somebody injected: the fast path computes what peft computes, or leaves it to the
module."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from plugins.causal_lm.fast.test_supported import FAMILIES, assert_same, policy
from preflab_builtin.causal_lm.config import Family
from preflab_builtin.causal_lm.fast.supported import blocks_of
from preflab_builtin.causal_lm.models import CausalPolicy

peft = pytest.importorskip("peft", reason="the extra lora is not installed")

TARGETS = {
    Family.gpt2: ["c_attn", "c_proj", "c_fc"],
    Family.llama: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}


def inject(made: CausalPolicy, targets: list[str] | None = None, **settings: Any) -> None:
    """Adapters as a plugin injects them, trained a little."""
    family = Family(made.module.config.model_type)
    config = peft.LoraConfig(
        r=4,
        lora_alpha=12,
        target_modules=targets or TARGETS[family],
        fan_in_fan_out=family is Family.gpt2,
        **settings,
    )
    peft.inject_adapter_in_model(config, made.module)
    made.module.eval()
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for name, weight in made.module.named_parameters():
            if "lora_" in name:
                weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("targets", ["all", "attention", "mlp"])
def test_injected_adapters_count(family: Family, targets: str) -> None:
    """Log-probs, decoding and the gradients of the adapters, on the fast path itself."""
    names = TARGETS[family]
    chosen = {"all": names, "attention": names[:1], "mlp": names[-1:]}[targets]
    assert_same(family, lambda made: inject(made, chosen))
    made = policy(family, True)
    before = made.logits(made.hidden(*_row())).detach()
    inject(made, chosen)
    assert blocks_of(made.module) is not None
    after = made.logits(made.hidden(*_row())).detach()
    assert float((after - before).abs().max()) > 0.05


def _row() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.arange(20, 27)[None, :]
    return ids, torch.ones_like(ids, dtype=torch.bool)


def _disable(module: Any) -> None:
    for part in module.modules():
        if hasattr(part, "lora_A"):
            part.enable_adapters(False)
    module.requires_grad_(True)


def _merge(module: Any) -> None:
    for part in module.modules():
        if hasattr(part, "lora_A"):
            part.merge()
    module.requires_grad_(True)


def _add_second(module: Any) -> None:
    config = copy.deepcopy(module.peft_config["default"])
    del module.peft_config  # peft warns of it
    with torch.random.fork_rng():
        torch.manual_seed(4)
        peft.inject_adapter_in_model(config, module, adapter_name="second")
    for part in module.modules():
        if hasattr(part, "lora_A"):
            part.set_adapter(["default", "second"])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("state", [_disable, _merge, _add_second])
def test_adapters_in_another_state_take_the_own_pass(family: Family, state: Any) -> None:
    def change(made: CausalPolicy) -> None:
        inject(made)
        state(made.module)

    assert_same(family, change)
    made = policy(family, True)
    change(made)
    assert blocks_of(made.module) is None


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"lora_bias": True}])
def test_variants_take_the_own_pass(settings: dict[str, Any]) -> None:
    assert_same(Family.gpt2, lambda made: inject(made, **settings))
    made = policy(Family.gpt2, True)
    inject(made, **settings)
    assert blocks_of(made.module) is None


@pytest.mark.parametrize("targets", [["lm_head"], ["embed_tokens"]])
def test_adapters_of_head_and_embedding_count(targets: list[str]) -> None:
    def change(made: CausalPolicy) -> None:
        made.module.config.tie_word_embeddings = False
        made.head.weight = torch.nn.Parameter(made.head.weight.detach().clone())
        inject(made, targets)

    assert_same(Family.llama, change)
