"""Llama: rotary positions, RMSNorm, SwiGLU, often fewer heads of keys than of queries, projections
stored as [out, in].

Shapes: N tokens, D width, H heads, G heads of keys and values, d width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import rms_norm, silu

from preflab_builtin.causal_lm.fast.blocks import Rotary, after_hooks
from preflab_builtin.causal_lm.fast.kernels import SwigluMLP, applied, kernels_fit
from preflab_builtin.causal_lm.fast.low_rank import low_rank
from preflab_builtin.causal_lm.fast.projections import Project, project


@dataclass(frozen=True, slots=True)
class _Layer:
    """The parts of a block, each looked for once a pass (see gpt2.py)."""

    block: Any
    attention_norm: Any
    queries: Any
    keys: Any
    values: Any
    attention_end: Any
    mlp_norm: Any
    gate: Any
    up: Any
    mlp_end: Any
    scale: float

    @staticmethod
    def of(block: Any) -> _Layer:
        attn, mlp = block.self_attn, block.mlp
        attention = (block.input_layernorm, attn.q_proj, attn.k_proj, attn.v_proj, attn.o_proj)
        rest = (block.post_attention_layernorm, mlp.gate_proj, mlp.up_proj, mlp.down_proj)
        return _Layer(block, *attention, *rest, float(attn.scaling))


class LlamaBlocks:
    """`blocks.Blocks` on the weights of a ``LlamaModel``."""

    def __init__(self, base: Any) -> None:
        config = base.config
        self.project: Project = project
        self.eps, self.width = config.rms_norm_eps, config.hidden_size
        self.tokens, self.rotary, self.last_norm = base.embed_tokens, base.rotary_emb, base.norm
        self.parts = [_Layer.of(block) for block in base.layers]
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
        return self.parts[layer].block

    def attention_scale(self, layer: int) -> float:
        return self.parts[layer].scale

    def embed(self, ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, Rotary]:
        x = self.tokens(ids)
        cos, sin = self.rotary(x, positions[None, :])
        return x, (cos[0, :, None, :], sin[0, :, None, :])

    def attention_norm(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        return self._norm(self.parts[layer].attention_norm, x)

    def _norm(self, norm: Any, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, (self.width,), norm.weight, self.eps)

    def queries_keys_values(
        self, layer: int, normed: torch.Tensor, rotary: Rotary
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.queries(layer, normed, rotary), *self.keys_values(layer, normed, rotary)

    def queries(self, layer: int, normed: torch.Tensor, rotary: Rotary) -> torch.Tensor:
        q = self.project(self.parts[layer].queries, normed)
        return _rotated(q.view(normed.shape[0], self.heads, self.head_width), rotary)

    def keys_values(
        self, layer: int, normed: torch.Tensor, rotary: Rotary
    ) -> tuple[torch.Tensor, torch.Tensor]:
        parts, shape = self.parts[layer], (normed.shape[0], self.key_heads, self.head_width)
        k = self.project(parts.keys, normed).view(shape)
        v = self.project(parts.values, normed).view(shape)
        return _rotated(k, rotary), v

    def after_attention(self, layer: int, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        parts = self.parts[layer]
        end = parts.attention_end
        x = x + after_hooks(end, self.project(end, attended))
        normed = self._norm(parts.mlp_norm, x)
        return x + after_hooks(parts.mlp_end, self._mlp(parts, normed))

    def _mlp(self, parts: _Layer, normed: torch.Tensor) -> torch.Tensor:
        fit, trains = kernels_fit(normed), torch.is_grad_enabled()
        three = (parts.gate, parts.up, parts.mlp_end)
        if fit and trains and all(low_rank(part) is None for part in three):
            out: torch.Tensor = applied(SwigluMLP, normed, *(part.weight for part in three))
            return out
        gate, up = silu(self.project(parts.gate, normed)), self.project(parts.up, normed)
        in_place = fit and not trains
        return self.project(parts.mlp_end, gate.mul_(up) if in_place else gate * up)

    def final_norm(self, x: torch.Tensor) -> torch.Tensor:
        return self._norm(self.last_norm, x)


def _rotated(x: torch.Tensor, rotary: Rotary) -> torch.Tensor:
    """x [N, heads, d] rotated by its position (Su et al. 2021; the first half of the width is
    paired with the second)."""
    assert rotary is not None
    cos, sin = rotary
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
