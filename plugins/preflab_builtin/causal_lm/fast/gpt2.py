"""GPT-2: learned positions, LayerNorm, gelu, projections stored as [in, out].

Shapes: N tokens, D width, H heads, d width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import layer_norm

from preflab_builtin.causal_lm.fast.blocks import Rotary, after_hooks
from preflab_builtin.causal_lm.fast.kernels import GeluMLP, applied, gelu, kernels_fit
from preflab_builtin.causal_lm.fast.low_rank import low_rank
from preflab_builtin.causal_lm.fast.projections import Project, project


@dataclass(frozen=True, slots=True)
class _Layer:
    """The parts of a block. A module looks for its parts by calls of Python, which at a small width
    is a tenth of a decoding step: each is looked for once a pass."""

    block: Any
    attention_norm: nn.LayerNorm
    attention: Any
    attention_end: Any
    mlp_norm: nn.LayerNorm
    mlp_begin: Any
    mlp_end: Any
    scale: float

    @staticmethod
    def of(block: Any) -> _Layer:
        attn, mlp = block.attn, block.mlp
        parts = (block.ln_1, attn.c_attn, attn.c_proj, block.ln_2, mlp.c_fc, mlp.c_proj)
        return _Layer(block, *parts, float(attn.scaling))


class GPT2Blocks:
    """`blocks.Blocks` on the weights of a ``GPT2Model``."""

    def __init__(self, base: Any) -> None:
        config = base.config
        self.project: Project = project
        self.eps, self.width = config.layer_norm_epsilon, config.n_embd
        self.tokens, self.places, self.last_norm = base.wte, base.wpe, base.ln_f
        self.parts = [_Layer.of(block) for block in base.h]
        self.layers, self.heads, self.key_heads = config.n_layer, config.n_head, config.n_head
        self.head_width = config.n_embd // config.n_head

    @staticmethod
    def fits(config: Any) -> bool:
        """Whether a config is of the plain kind that this class computes."""
        activations = ("gelu_new", "gelu_pytorch_tanh")
        plain_activation = config.activation_function in activations
        return bool(plain_activation and not config.add_cross_attention)

    def block(self, layer: int) -> Any:
        return self.parts[layer].block

    def attention_scale(self, layer: int) -> float:
        return self.parts[layer].scale

    def embed(self, ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, Rotary]:
        return self.tokens(ids) + self.places(positions), None

    def attention_norm(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        return self._norm(self.parts[layer].attention_norm, x)

    def _norm(self, norm: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
        return layer_norm(x, (self.width,), norm.weight, norm.bias, self.eps)

    def queries_keys_values(
        self, layer: int, normed: torch.Tensor, rotary: Rotary
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        projected = self.project(self.parts[layer].attention, normed)
        q, k, v = projected.view(normed.shape[0], 3, self.heads, self.head_width).unbind(1)
        return q, k, v

    def queries(self, layer: int, normed: torch.Tensor, rotary: Rotary) -> torch.Tensor:
        q = project(self.parts[layer].attention, normed, slice(self.width))
        return q.view(len(normed), self.heads, self.head_width)

    def keys_values(
        self, layer: int, normed: torch.Tensor, rotary: Rotary
    ) -> tuple[torch.Tensor, torch.Tensor]:
        both = project(self.parts[layer].attention, normed, slice(self.width, None))
        k, v = both.view(len(normed), 2, self.heads, self.head_width).unbind(1)
        return k, v

    def after_attention(self, layer: int, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        parts = self.parts[layer]
        end = parts.attention_end
        x = x + after_hooks(end, self.project(end, attended))
        normed = self._norm(parts.mlp_norm, x)
        return x + after_hooks(parts.mlp_end, self._mlp(parts.mlp_begin, parts.mlp_end, normed))

    def _mlp(self, first: Any, second: Any, normed: torch.Tensor) -> torch.Tensor:
        fit, trains = kernels_fit(normed), torch.is_grad_enabled()
        if fit and trains and low_rank(first) is None and low_rank(second) is None:
            out: torch.Tensor = applied(
                GeluMLP, normed, first.weight, first.bias, second.weight, second.bias
            )
            return out
        inner = self.project(first, normed)
        in_place = fit and not trains
        active = gelu(inner) if in_place else nn.functional.gelu(inner, approximate="tanh")
        return self.project(second, active)

    def final_norm(self, x: torch.Tensor) -> torch.Tensor:
        return self._norm(self.last_norm, x)
