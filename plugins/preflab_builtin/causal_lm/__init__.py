"""Causal language models on transformers: from scratch, from a folder or the hub, and a real one
from a pip package."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The three policies."""
    from preflab_builtin.causal_lm.config import PretrainedConfig, SmolLM2Config, TinyConfig

    here = "preflab_builtin.causal_lm"
    return [
        Component(
            "policy",
            "tiny",
            TinyConfig,
            build=f"{here}.sources:tiny",
            inspect=f"{here}.shape:inspect_tiny",
            preflight=f"{here}.preflight:tiny",
        ),
        Component(
            "policy",
            "pretrained",
            PretrainedConfig,
            build=f"{here}.sources:pretrained",
            inspect=f"{here}.inspecting:inspect_pretrained",
            preflight=f"{here}.preflight:policy",
        ),
        Component(
            "policy",
            "smollm2",
            SmolLM2Config,
            build=f"{here}.sources:smollm2",
            inspect=f"{here}.smollm2:inspect_smollm2",
            preflight=f"{here}.preflight:smollm2",
        ),
    ]
