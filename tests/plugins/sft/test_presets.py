"""The shipped presets of models and language-model training fit their schemas and say what they
are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab.composing.search_path import config_root
from preflab.options import problems, typed
from support import builtin

PRESETS = [
    *("policy/tiny", "rollout/native", "pretrain/documents"),
    *("sft/demonstrations", "sft/instructgpt", "sft/instructgpt_ppo_init"),
]


def preset(name: str) -> tuple[str, Any]:
    file: Path = config_root() / f"{name}.yaml"
    values: Any = OmegaConf.to_container(OmegaConf.load(file))
    schema, own = values.pop("defaults")
    assert own == "_self_"
    component = schema.removeprefix("/schema/").removesuffix("@_here_")
    kind, _, chosen = component.partition("/")
    return file.read_text(), typed(builtin(kind, chosen).config_class, values, kind)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_fits_its_schema(name: str) -> None:
    text, config = preset(name)
    assert text.startswith("# ")
    assert not list(problems(config))


def test_instructgpt_values() -> None:
    _, sft = preset("sft/instructgpt")
    assert (sft.epochs, sft.batch, sft.dropout, sft.optimizer.lr, sft.optimizer.final_fraction) == (
        16,
        32,
        0.2,
        9.65e-6,
        0.1,
    )
    _, initial = preset("sft/instructgpt_ppo_init")
    assert (initial.epochs, initial.batch, initial.optimizer.lr) == (2, 32, 5e-6)
    assert initial.mix_coef / (1 + initial.mix_coef) == pytest.approx(0.1, rel=1e-4)
    ptx = builtin("gradient_term", "ptx").config_class()
    assert (ptx.coef, ptx.ratio) == (27.8, 8)
