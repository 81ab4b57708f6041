"""Which matrices have adapters, by the sizes in config.json alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from preflab_builtin.causal_lm.adapters import target_names
from preflab_builtin.causal_lm.config import LoraConfig
from preflab_builtin.causal_lm.shape import shape_of

GPT2 = {"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 2, "vocab_size": 10}
LLAMA = {
    **{"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 10},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 24},
}


@pytest.mark.parametrize(
    ("config", "targets"),
    [
        *((config, group) for config in (GPT2, LLAMA) for group in ("all", "attention", "mlp")),
        (GPT2, "c_proj"),  # two of them
        (LLAMA, "q_proj"),
        (LLAMA, "mlp.up_proj"),
    ],
)
def test_the_targets_are_those_that_get_adapters(
    config: dict[str, Any], targets: str, tmp_path: Path
) -> None:
    """As many numbers as `target_names` finds in the modules that transformers makes."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    make: Any = AutoModelForCausalLM.from_config
    with torch.device("meta"):
        made = make(AutoConfig.from_pretrained(tmp_path))
    ends = tuple(target_names(getattr(made, made.base_model_prefix), [targets]))
    parts = [p.weight for n, p in made.named_modules() if n.endswith(ends)]
    shape = shape_of(tmp_path, LoraConfig(rank=2, targets=targets))
    assert shape is not None
    assert shape.merged == 4 * sum(weight.numel() for weight in parts)
    sides = sum(sum(weight.shape) for weight in parts)
    assert shape.trained_share * shape.weights == pytest.approx(2 * sides)


def test_a_name_that_is_not_known_counts_as_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    shape = shape_of(tmp_path, LoraConfig(rank=2, targets=["q_proj", "qkv_proj"]))
    assert shape is not None
    assert shape.merged == 4 * shape.block
