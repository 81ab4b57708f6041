"""Llama: rotary positions, RMSNorm, SwiGLU, often fewer heads of keys than of queries, projections
stored as [out, in].

Shapes: N tokens, D width, H heads, G heads of keys and values, d width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.nn.functional import rms_norm, silu

from preflab_builtin.causal_lm.fast.blocks import Rotary, after_hooks, plainly
from preflab_builtin.causal_lm.fast.kernels import SwigluMLP, applied, kernels_fit
from preflab_builtin.causal_lm.fast.projections import Project, adapter_of, project


class _Parts(NamedTuple):
    """The parts of a block that compute, each looked for once a pass; in a compiled pass their
    `Weights` (see gpt2.py)."""

    attention_norm: Any
    queries: Any
    keys: Any
    values: Any
    attention_end: Any
    mlp_norm: Any
    gate: Any
    up: Any
    mlp_end: Any

    @staticmethod
    def of(block: Any) -> _Parts:
        attn, mlp = block.self_attn, block.mlp
        attention = (block.input_layernorm, attn.q_proj, attn.k_proj, attn.v_proj, attn.o_proj)
        rest = (block.post_attention_layernorm, mlp.gate_proj, mlp.up_proj, mlp.down_proj)
        return _Parts(*attention, *rest)


class _Sizes(NamedTuple):
    """Width D, heads H and G, their width d; eps of the norms."""

    width: int
    heads: int
    key_heads: int
    head_width: int
    eps: float


class LlamaBlocks:
    """`blocks.Blocks` on the weights of a ``LlamaModel``."""

    def __init__(self, base: Any) -> None:
        config = base.config
        self.project: Project = project
        self.run: Callable[..., Any] = plainly
        self.tokens, self.rotary, self.last_norm = base.embed_tokens, base.rotary_emb, base.norm
        self.modules = list(base.layers)
        self.parts = [_Parts.of(block) for block in self.modules]
        self.scales = [float(block.self_attn.scaling) for block in self.modules]
        self.layers, self.heads = config.num_hidden_layers, config.num_attention_heads
        self.key_heads, width = config.num_key_value_heads, config.hidden_size
        self.head_width = getattr(config, "head_dim", None) or width // self.heads
        eps = config.rms_norm_eps
        self.sizes = _Sizes(width, self.heads, self.key_heads, self.head_width, eps)

    @staticmethod
    def fits(config: Any) -> bool:
        """Whether a config is of the plain kind that this class computes."""
        rope = str(config.rope_parameters)
        plain_rope = "dynamic" not in rope and "longrope" not in rope
        return bool(config.hidden_act == "silu" and not config.mlp_bias and plain_rope)

    def block(self, layer: int) -> Any:
        return self.modules[layer]

    def attention_scale(self, layer: int) -> float:
        return self.scales[layer]

    def embed(self, ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, Rotary]:
        x = self.tokens(ids)
        cos, sin = self.rotary(x, positions[None, :])
        return x, (cos[0, :, None, :], sin[0, :, None, :])

    def attention_norm(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        return _norm(self.parts[layer].attention_norm, self.sizes, x)

    def queries(self, layer: int, normed: torch.Tensor, rotary: Rotary) -> torch.Tensor:
        return _queries(self.parts[layer], self.sizes, self.project, normed, rotary)

    def keys_values(
        self, layer: int, normed: torch.Tensor, rotary: Rotary
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return _keys_values(self.parts[layer], self.sizes, self.project, normed, rotary)

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
    """The step before attention: residual stream [N, D] -> queries [N, H, d], keys and values
    [N, G, d]."""
    normed = _norm(parts.attention_norm, sizes, x)
    q = _queries(parts, sizes, project, normed, rotary)
    return q, *_keys_values(parts, sizes, project, normed, rotary)


def after_attention(
    parts: _Parts, sizes: _Sizes, project: Project, x: torch.Tensor, attended: torch.Tensor
) -> torch.Tensor:
    """The step after it: residual stream [N, D] and attended [N, H * d] -> [N, D]."""
    end = parts.attention_end
    x = x + after_hooks(end, project(end, attended))
    normed = _norm(parts.mlp_norm, sizes, x)
    return x + after_hooks(parts.mlp_end, _mlp(parts, project, normed))


def _norm(norm: Any, sizes: _Sizes, x: torch.Tensor) -> torch.Tensor:
    return rms_norm(x, (sizes.width,), norm.weight, sizes.eps)


def _queries(
    parts: _Parts, sizes: _Sizes, project: Project, normed: torch.Tensor, rotary: Rotary
) -> torch.Tensor:
    q = project(parts.queries, normed)
    return _rotated(q.view(normed.shape[0], sizes.heads, sizes.head_width), rotary)


def _keys_values(
    parts: _Parts, sizes: _Sizes, project: Project, normed: torch.Tensor, rotary: Rotary
) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (normed.shape[0], sizes.key_heads, sizes.head_width)
    k = project(parts.keys, normed).view(shape)
    v = project(parts.values, normed).view(shape)
    return _rotated(k, rotary), v


def _mlp(parts: _Parts, project: Project, normed: torch.Tensor) -> torch.Tensor:
    fit, trains = kernels_fit(normed), torch.is_grad_enabled()
    three = (parts.gate, parts.up, parts.mlp_end)
    if fit and trains and all(adapter_of(part) is None for part in three):
        out: torch.Tensor = applied(SwigluMLP, normed, *(part.weight for part in three))
        return out
    gate, up = silu(project(parts.gate, normed)), project(parts.up, normed)
    in_place = fit and not trains
    return project(parts.mlp_end, gate.mul_(up) if in_place else gate * up)


def _rotated(x: torch.Tensor, rotary: Rotary) -> torch.Tensor:
    """x [N, heads, d] rotated by its position (Su et al. 2021; the first half of the width is
    paired with the second)."""
    assert rotary is not None
    cos, sin = rotary
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
