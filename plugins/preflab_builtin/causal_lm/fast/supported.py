"""Which modules the fast paths compute: GPT-2 and Llama with plain layers and no unknown hooks."""

from __future__ import annotations

from enum import Enum
from typing import Any

from torch import nn

from preflab.sharding import is_hook_of_sharding
from preflab_builtin.causal_lm.fast.blocks import Blocks
from preflab_builtin.causal_lm.fast.gpt2 import GPT2Blocks
from preflab_builtin.causal_lm.fast.llama import LlamaBlocks

BLOCKS_OF_MODEL_TYPE: dict[str, type[GPT2Blocks] | type[LlamaBlocks]] = {
    "gpt2": GPT2Blocks,
    "llama": LlamaBlocks,
}
PLAIN_LAYERS = frozenset({"Linear", "Conv1D", "Embedding", "LayerNorm", "LlamaRMSNorm"})
BRANCH_ENDS = ("c_proj", "o_proj", "down_proj")


class Hooks(Enum):
    """The hooks on the parts of a module."""

    none = "no hooks"
    tokens = "forward hooks with `takes_tokens` where a branch ends: called with [N, D], no pads"
    others = "hooks that only the module's own forward pass serves"


def hooks_on(base: nn.Module) -> Hooks:
    """The most demanding hooks on any part of a module."""
    most = Hooks.none
    for name, part in base.named_modules():
        ends_branch = name.endswith(BRANCH_ENDS)
        before = part._forward_pre_hooks.values()
        if not all(map(is_hook_of_sharding, before)):
            return Hooks.others
        if part._backward_hooks or part._backward_pre_hooks:
            return Hooks.others
        for hook in part._forward_hooks.values():
            if is_hook_of_sharding(hook):
                continue
            if not (ends_branch and hasattr(hook, "takes_tokens")):
                return Hooks.others
            most = Hooks.tokens
    return most


def blocks_of(module: Any) -> Blocks | None:
    """The blocks of a transformers module; None if its family, its config or one of its layers
    (adapters, quantised weights) is not among those computed here."""
    family = BLOCKS_OF_MODEL_TYPE.get(module.config.model_type)
    if family is None or not family.fits(module.config):
        return None
    base = getattr(module, module.base_model_prefix)
    with_weights = (
        part for part in base.modules() if next(part.parameters(recurse=False), None) is not None
    )
    plain = all(type(part).__name__ in PLAIN_LAYERS for part in with_weights)
    return family(base) if plain else None
