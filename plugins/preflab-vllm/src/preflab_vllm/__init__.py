"""Rollouts by vLLM."""

from __future__ import annotations

from preflab import Component, hookimpl

PREFLAB_API = 1


@hookimpl
def preflab_components() -> list[Component]:
    """The engine."""
    from preflab_vllm.config import VLLMConfig

    return [
        Component(
            "rollout",
            "vllm",
            VLLMConfig,
            build="preflab_vllm.engine:vllm",
            preflight="preflab_vllm.preflight:preflight",
        )
    ]
