"""Llama: rotary positions, RMSNorm, SwiGLU, often fewer heads of keys than of queries, projections
stored as [out, in].

Shapes: N tokens, D width, H heads, G heads of keys and values, d width of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import rms_norm, silu

from preflab_builtin.causal_lm.fast.blocks import Rotary, after_hooks
from preflab_builtin.causal_lm.fast.kernels import SwigluMLP, applied, kernels_fit
from preflab_builtin.causal_lm.fast.low_rank import low_rank
from preflab_builtin.causal_lm.fast.projections import Project, project


class LlamaBlocks:
    """`blocks.Blocks` on the weights of a ``LlamaModel``."""

    def __init__(self, base: Any) -> None:
        config = base.config
        self.project: Project = project
        self.base, self.eps, self.width = base, config.rms_norm_eps, config.hidden_size
        self.layers, self.heads = config.num_hidden_layers, config.num_attention_heads
        self.key_heads = config.num_key_value_heads
        self.head_width = getattr(config, "head_dim", None) or self.width // self.heads

    @staticmethod
    def fits(config: Any) -> bool:
        """Whether a config is of the plain kind that this class computes."""
        rope = str(config.rope_parameters)
        plain_rope = "dynamic" not in rope and "longrope" not in rope
        return bool(config.hidden_act == "silu" and not config.mlp_bias and plain_rope)

    def block(self, layer: int) -> Any:
        return self.base.layers[layer]

    def attention_scale(self, layer: int) -> float:
        return float(self.base.layers[layer].self_attn.scaling)

    def embed(self, ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, Rotary]:
        x = self.base.embed_tokens(ids)
        cos, sin = self.base.rotary_emb(x, positions[None, :])
        return x, (cos[0, :, None, :], sin[0, :, None, :])

    def attention_norm(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        return self._norm(self.base.layers[layer].input_layernorm, x)

    def _norm(self, norm: Any, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, (self.width,), norm.weight, self.eps)

    def queries_keys_values(
        self, layer: int, normed: torch.Tensor, rotary: Rotary
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.queries(layer, normed, rotary), *self.keys_values(layer, normed, rotary)

    def queries(self, layer: int, normed: torch.Tensor, rotary: Rotary) -> torch.Tensor:
        q = self.project(self.base.layers[layer].self_attn.q_proj, normed)
        return _rotated(q.view(len(normed), self.heads, self.head_width), rotary)

    def keys_values(
        self, layer: int, normed: torch.Tensor, rotary: Rotary
    ) -> tuple[torch.Tensor, torch.Tensor]:
        part = self.base.layers[layer].self_attn
        shape = (len(normed), self.key_heads, self.head_width)
        k = self.project(part.k_proj, normed).view(shape)
        v = self.project(part.v_proj, normed).view(shape)
        return _rotated(k, rotary), v

    def after_attention(self, layer: int, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        block = self.base.layers[layer]
        attention_end, mlp_end = block.self_attn.o_proj, block.mlp.down_proj
        x = x + after_hooks(attention_end, self.project(attention_end, attended))
        normed = self._norm(block.post_attention_layernorm, x)
        return x + after_hooks(mlp_end, self._mlp(block.mlp, normed))

    def _mlp(self, mlp: Any, normed: torch.Tensor) -> torch.Tensor:
        fit, parts = kernels_fit(normed), (mlp.gate_proj, mlp.up_proj, mlp.down_proj)
        adapted = any(low_rank(part) is not None for part in parts)
        if fit and torch.is_grad_enabled() and not adapted:
            out: torch.Tensor = applied(
                SwigluMLP, normed, mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight
            )
            return out
        gate, up = silu(self.project(mlp.gate_proj, normed)), self.project(mlp.up_proj, normed)
        in_place = fit and not torch.is_grad_enabled()
        return self.project(mlp.down_proj, gate.mul_(up) if in_place else gate * up)

    def final_norm(self, x: torch.Tensor) -> torch.Tensor:
        return self._norm(self.base.norm, x)


def _rotated(x: torch.Tensor, rotary: Rotary) -> torch.Tensor:
    """x [N, heads, d] rotated by its position (Su et al. 2021; the first half of the width is
    paired with the second)."""
    assert rotary is not None
    cos, sin = rotary
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
