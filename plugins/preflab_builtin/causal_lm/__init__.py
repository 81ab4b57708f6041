"""Causal language models on transformers: from scratch, from a folder or the hub, and a real one from a pip package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, Inspection, hookimpl

if TYPE_CHECKING:
    import torch

    from preflab.interfaces import Context
    from preflab_builtin.causal_lm.config import PretrainedConfig, SmolLM2Config, TinyConfig
    from preflab_builtin.causal_lm.sources import FolderSource, TinySource


@hookimpl
def preflab_components() -> list[Component]:
    """The three policies."""
    from preflab_builtin.causal_lm.config import PretrainedConfig, SmolLM2Config, TinyConfig

    return [
        Component("policy", "tiny", TinyConfig, build=_tiny),
        Component(
            "policy", "pretrained", PretrainedConfig, build=_pretrained, inspect=_inspect_pretrained
        ),
        Component("policy", "smollm2", SmolLM2Config, build=_smollm2, inspect=_inspect_smollm2),
    ]


def _tiny(config: TinyConfig, context: Context) -> TinySource:
    from preflab_builtin.causal_lm.sources import TinySource

    return TinySource(config, context.vocabulary, *_how(context))


def _pretrained(config: PretrainedConfig, context: Context) -> FolderSource:
    from preflab_builtin.causal_lm.folders import locate
    from preflab_builtin.causal_lm.sources import FolderSource

    return FolderSource(locate(config.path, config.revision), *_how(context))


def _smollm2(config: SmolLM2Config, context: Context) -> FolderSource:
    from preflab_builtin.causal_lm.smollm2 import converted
    from preflab_builtin.causal_lm.sources import FolderSource

    return FolderSource(converted(config), *_how(context))


def _how(context: Context) -> tuple[torch.device, bool, bool]:
    """Device, forward passes of our own, recorded decoding."""
    config = context.runtime.config
    return context.runtime.device, config.fast_paths, config.decode_graphs


def _inspect_pretrained(config: PretrainedConfig) -> Inspection:
    from preflab_builtin.causal_lm.folders import inspect_pretrained

    return inspect_pretrained(config)


def _inspect_smollm2(config: SmolLM2Config) -> Inspection:
    from preflab_builtin.causal_lm.smollm2 import inspect_smollm2

    return inspect_smollm2(config)
