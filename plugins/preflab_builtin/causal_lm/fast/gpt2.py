"""GPT-2: learned positions, LayerNorm, gelu, projections stored as [in, out].

Shapes: N tokens, D width, H heads, d width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import layer_norm

from preflab_builtin.causal_lm.fast.blocks import Rotary, after_hooks, plainly
from preflab_builtin.causal_lm.fast.kernels import GeluMLP, applied, gelu, kernels_fit
from preflab_builtin.causal_lm.fast.projections import Project, adapter_of, project


class _Parts(NamedTuple):
    """The parts of a block that compute, in a compiled pass their `Weights`. A module looks for its
    parts by calls of Python, which at a small width is a tenth of a decoding step: each is looked
    for once a pass."""

    attention_norm: Any
    attention: Any
    attention_end: Any
    mlp_norm: Any
    mlp_begin: Any
    mlp_end: Any

    @staticmethod
    def of(block: Any) -> _Parts:
        attn, mlp = block.attn, block.mlp
        return _Parts(block.ln_1, attn.c_attn, attn.c_proj, block.ln_2, mlp.c_fc, mlp.c_proj)


class _Sizes(NamedTuple):
    """Width D, heads H and their width d; eps of the norms."""

    width: int
    heads: int
    head_width: int
    eps: float


class GPT2Blocks:
    """`blocks.Blocks` on the weights of a ``GPT2Model``."""

    def __init__(self, base: Any) -> None:
        config = base.config
        self.project: Project = project
        self.run: Callable[..., Any] = plainly
        self.tokens, self.places, self.last_norm = base.wte, base.wpe, base.ln_f
        self.modules = list(base.h)
        self.parts = [_Parts.of(block) for block in self.modules]
        self.scales = [float(block.attn.scaling) for block in self.modules]
        self.layers, self.heads, self.key_heads = config.n_layer, config.n_head, config.n_head
        self.head_width = config.n_embd // config.n_head
        eps = config.layer_norm_epsilon
        self.sizes = _Sizes(config.n_embd, self.heads, self.head_width, eps)

    @staticmethod
    def fits(config: Any) -> bool:
        """Whether a config is of the plain kind that this class computes."""
        activations = ("gelu_new", "gelu_pytorch_tanh")
        plain_activation = config.activation_function in activations
        return bool(plain_activation and not config.add_cross_attention)

    def block(self, layer: int) -> Any:
        return self.modules[layer]

    def attention_scale(self, layer: int) -> float:
        return self.scales[layer]

    def embed(self, ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, Rotary]:
        return self.tokens(ids) + self.places(positions), None

    def attention_norm(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        return _norm(self.parts[layer].attention_norm, self.sizes, x)

    def queries(self, layer: int, normed: torch.Tensor, rotary: Rotary) -> torch.Tensor:
        q = project(self.parts[layer].attention, normed, slice(self.sizes.width))
        return q.view(len(normed), self.heads, self.head_width)

    def keys_values(
        self, layer: int, normed: torch.Tensor, rotary: Rotary
    ) -> tuple[torch.Tensor, torch.Tensor]:
        both = project(self.parts[layer].attention, normed, slice(self.sizes.width, None))
        k, v = both.view(len(normed), 2, self.heads, self.head_width).unbind(1)
        return k, v

    def before_attention(
        self, layer: int, x: torch.Tensor, rotary: Rotary
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        q, k, v = self.run(before_attention, self.parts[layer], self.sizes, self.project, x, rotary)
        return q, k, v

    def after_attention(self, layer: int, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        parts = self.parts[layer]
        out: torch.Tensor = self.run(after_attention, parts, self.sizes, self.project, x, attended)
        return out

    def final_norm(self, x: torch.Tensor) -> torch.Tensor:
        return _norm(self.last_norm, self.sizes, x)


def before_attention(
    parts: _Parts, sizes: _Sizes, project: Project, x: torch.Tensor, rotary: Rotary
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The step before attention: residual stream [N, D] -> queries, keys and values, [N, H, d]."""
    projected = project(parts.attention, _norm(parts.attention_norm, sizes, x))
    q, k, v = projected.view(x.shape[0], 3, sizes.heads, sizes.head_width).unbind(1)
    return q, k, v


def after_attention(
    parts: _Parts, sizes: _Sizes, project: Project, x: torch.Tensor, attended: torch.Tensor
) -> torch.Tensor:
    """The step after it: residual stream [N, D] and attended [N, H * d] -> [N, D]."""
    end = parts.attention_end
    x = x + after_hooks(end, project(end, attended))
    normed = _norm(parts.mlp_norm, sizes, x)
    return x + after_hooks(parts.mlp_end, _mlp(parts.mlp_begin, parts.mlp_end, project, normed))


def _norm(norm: Any, sizes: _Sizes, x: torch.Tensor) -> torch.Tensor:
    return layer_norm(x, (sizes.width,), norm.weight, norm.bias, sizes.eps)


def _mlp(first: Any, second: Any, project: Project, normed: torch.Tensor) -> torch.Tensor:
    fit, trains = kernels_fit(normed), torch.is_grad_enabled()
    if fit and trains and adapter_of(first) is None and adapter_of(second) is None:
        out: torch.Tensor = applied(
            GeluMLP, normed, first.weight, first.bias, second.weight, second.bias
        )
        return out
    inner = project(first, normed)
    in_place = fit and not trains
    active = gelu(inner) if in_place else nn.functional.gelu(inner, approximate="tanh")
    return project(second, active)
