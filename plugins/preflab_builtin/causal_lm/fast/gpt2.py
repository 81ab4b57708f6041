"""GPT-2: learned positions, LayerNorm, gelu, projections stored as [in, out].

Shapes: N tokens, D width, H heads, d width of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import layer_norm

from preflab_builtin.causal_lm.fast.blocks import Rotary, after_hooks
from preflab_builtin.causal_lm.fast.kernels import GeluMLP, applied, gelu, kernels_fit
from preflab_builtin.causal_lm.fast.low_rank import low_rank
from preflab_builtin.causal_lm.fast.projections import Project, project


class GPT2Blocks:
    """`blocks.Blocks` on the weights of a ``GPT2Model``."""

    def __init__(self, base: Any) -> None:
        config = base.config
        self.project: Project = project
        self.base, self.eps, self.width = base, config.layer_norm_epsilon, config.n_embd
        self.layers, self.heads, self.key_heads = config.n_layer, config.n_head, config.n_head
        self.head_width = config.n_embd // config.n_head

    @staticmethod
    def fits(config: Any) -> bool:
        """Whether a config is of the plain kind that this class computes."""
        activations = ("gelu_new", "gelu_pytorch_tanh")
        plain_activation = config.activation_function in activations
        return bool(plain_activation and not config.add_cross_attention)

    def block(self, layer: int) -> Any:
        return self.base.h[layer]

    def attention_scale(self, layer: int) -> float:
        return float(self.base.h[layer].attn.scaling)

    def embed(self, ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, Rotary]:
        return self.base.wte(ids) + self.base.wpe(positions), None

    def attention_norm(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        return self._norm(self.base.h[layer].ln_1, x)

    def _norm(self, norm: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
        return layer_norm(x, (self.width,), norm.weight, norm.bias, self.eps)

    def queries_keys_values(
        self, layer: int, normed: torch.Tensor, rotary: Rotary
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        projected = self.project(self.base.h[layer].attn.c_attn, normed)
        q, k, v = projected.view(len(normed), 3, self.heads, self.head_width).unbind(1)
        return q, k, v

    def queries(self, layer: int, normed: torch.Tensor, rotary: Rotary) -> torch.Tensor:
        q = project(self.base.h[layer].attn.c_attn, normed, slice(self.width))
        return q.view(len(normed), self.heads, self.head_width)

    def keys_values(
        self, layer: int, normed: torch.Tensor, rotary: Rotary
    ) -> tuple[torch.Tensor, torch.Tensor]:
        both = project(self.base.h[layer].attn.c_attn, normed, slice(self.width, None))
        k, v = both.view(len(normed), 2, self.heads, self.head_width).unbind(1)
        return k, v

    def after_attention(self, layer: int, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        block = self.base.h[layer]
        x = x + after_hooks(block.attn.c_proj, self.project(block.attn.c_proj, attended))
        return x + after_hooks(block.mlp.c_proj, self._mlp(block.mlp, self._norm(block.ln_2, x)))

    def _mlp(self, mlp: Any, normed: torch.Tensor) -> torch.Tensor:
        fit = kernels_fit(normed)
        adapted = any(low_rank(part) is not None for part in (mlp.c_fc, mlp.c_proj))
        if fit and torch.is_grad_enabled() and not adapted:
            first, second = mlp.c_fc, mlp.c_proj
            out: torch.Tensor = applied(
                GeluMLP, normed, first.weight, first.bias, second.weight, second.bias
            )
            return out
        inner = self.project(mlp.c_fc, normed)
        in_place = fit and not torch.is_grad_enabled()
        active = gelu(inner) if in_place else nn.functional.gelu(inner, approximate="tanh")
        return self.project(mlp.c_proj, active)

    def final_norm(self, x: torch.Tensor) -> torch.Tensor:
        return self._norm(self.base.ln_f, x)
