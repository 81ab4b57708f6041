"""Which modules the fast paths compute: GPT-2 and Llama of which every part is known.

A fast path reads the weights of a module and never calls its parts, so that what a part does
besides would be left out in silence. Therefore nothing is taken on trust: every part is of a class
on the list, computes with its class's own ``forward``, has weights that are ordinary tensors, and
has no hooks but those that are served. Anything else takes the module's own forward pass.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as modules
from transformers.activations import GELUTanh, NewGELUActivation, SiLUActivation
from transformers.models.gpt2 import modeling_gpt2 as gpt2
from transformers.models.llama import modeling_llama as llama
from transformers.pytorch_utils import Conv1D

from preflab.sharding import is_hook_of_sharding
from preflab_builtin.causal_lm.fast.blocks import Blocks
from preflab_builtin.causal_lm.fast.gpt2 import GPT2Blocks
from preflab_builtin.causal_lm.fast.llama import LlamaBlocks
from preflab_builtin.causal_lm.fast.low_rank import knows, low_rank

BLOCKS_OF_MODEL_TYPE: dict[str, type[GPT2Blocks] | type[LlamaBlocks]] = {
    "gpt2": GPT2Blocks,
    "llama": LlamaBlocks,
}
PROJECTIONS: frozenset[type[nn.Module]] = frozenset({nn.Linear, Conv1D})
PARTS: dict[str, frozenset[type[nn.Module]]] = {
    "gpt2": frozenset(
        {
            *(gpt2.GPT2Model, gpt2.GPT2Block, gpt2.GPT2Attention, gpt2.GPT2MLP),
            *(nn.ModuleList, nn.Embedding, nn.LayerNorm, nn.Dropout, Conv1D),
            *(NewGELUActivation, GELUTanh),
        }
    ),
    "llama": frozenset(
        {
            *(llama.LlamaModel, llama.LlamaDecoderLayer, llama.LlamaAttention, llama.LlamaMLP),
            *(llama.LlamaRMSNorm, llama.LlamaRotaryEmbedding),
            *(nn.ModuleList, nn.Embedding, nn.Linear, SiLUActivation, nn.SiLU),
        }
    ),
}
"""By model type: the classes of which its parts are."""
ATTENTION = frozenset({"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"})
"""Implementations of attention that compute the same; one that somebody registered may not."""
BRANCH_ENDS = ("c_proj", "o_proj", "down_proj")


def _hooked_all() -> bool:
    """Whether there are hooks on all modules of the process."""
    return bool(modules._has_any_global_hook())  # type: ignore[no-untyped-call]


class Hooks(Enum):
    """The hooks on the parts of a module."""

    none = "no hooks"
    tokens = "forward hooks with `takes_tokens` where a branch ends: called with [N, D], no pads"
    others = "hooks that only the module's own forward pass serves"


def hooks_on(base: nn.Module) -> Hooks:
    """The most demanding hooks on any part of a module."""
    most = Hooks.others if _hooked_all() else Hooks.none
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
            most = Hooks.tokens if most is Hooks.none else most
    return most


def blocks_of(module: Any) -> Blocks | None:
    """The blocks of a transformers module; None if its family, its config or one of its parts is
    not among those computed here."""
    config = module.config
    family = BLOCKS_OF_MODEL_TYPE.get(config.model_type)
    if family is None or not family.fits(config) or config._attn_implementation not in ATTENTION:
        return None
    base = getattr(module, module.base_model_prefix)
    return family(base) if _is_known(base, PARTS[config.model_type]) else None


def _is_known(part: nn.Module, classes: frozenset[type[nn.Module]]) -> bool:
    """Whether a part and all its parts compute what their classes say; an adapter of low rank
    counts with the projection that it is around."""
    if (adapter := low_rank(part)) is not None:
        return knows(part) and _computes_as_written(part) and _is_known(adapter.base, classes)
    return (
        class_of(part) in classes
        and is_plain(part)
        and not _drops_units(part)
        and all(_is_known(child, classes) for child in part.children())
    )


def class_of(part: nn.Module) -> type[nn.Module]:
    """The class of a part; of one that `fully_shard` gave a class of its own, what it was."""
    cls = type(part)
    sharded = len(cls.__bases__) == 2 and cls.__bases__[0].__name__ == "FSDPModule"
    return cls.__bases__[1] if sharded else cls


def is_plain(part: nn.Module) -> bool:
    """Whether a part computes as its class was written, on ordinary tensors (no quantised ones);
    those of which this process holds a shard are ordinary when they are used."""
    weights = (p for p in part._parameters.values() if p is not None)
    return _computes_as_written(part) and all(
        (type(p) in (nn.Parameter, torch.Tensor) or type(p).__name__ == "DTensor")
        and p.is_floating_point()
        for p in weights
    )


def is_plain_projection(part: nn.Module) -> bool:
    """Whether a part is a product with a matrix and nothing else, hooks included."""
    hooks = (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks)
    hooked = any(hooks) or bool(part._backward_pre_hooks) or _hooked_all()
    return class_of(part) in PROJECTIONS and is_plain(part) and not hooked


def _computes_as_written(part: nn.Module) -> bool:
    """Whether nobody has put another ``forward`` in the place of the class's own."""
    cls = class_of(part)
    replaced = {"forward", "_call_impl", "_compiled_call_impl"} & {
        name for name, value in vars(part).items() if value is not None
    }
    own = cls.forward
    written = own is nn.Module.forward or getattr(own, "__module__", "") == cls.__module__
    return written and not replaced


def _drops_units(part: nn.Module) -> bool:
    """Whether a part in training mode drops units at random."""
    rates = (getattr(part, name, 0.0) for name in ("p", "attention_dropout"))
    return part.training and any(isinstance(rate, float) and rate > 0 for rate in rates)
