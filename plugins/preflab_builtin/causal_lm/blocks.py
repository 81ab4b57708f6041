"""The transformer blocks of GPT-2 and Llama on the weights of a transformers module, without its Python.

A forward pass is: embed; per layer read (norm), queries / keys and values, attention, write (projection, residual, MLP);
final norm. The families differ in these steps alone; batches without pads (packing.py) and the key-value cache
(cache.py) are the two ways to attend. Shapes: N tokens, D width, H heads, G heads of keys and values, d width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.functional import layer_norm, rms_norm

from preflab_builtin.causal_lm.kernels import GeluMLP, SwigluMLP, applied, gelu
from preflab_builtin.causal_lm.packing import Rows, SharedRows
from preflab_builtin.causal_lm.products import Product, stored

Rope = tuple[torch.Tensor, torch.Tensor] | None
"""cos and sin [N, 1, d] of rotary positions."""


class Blocks(Protocol):
    """The steps of a family."""

    product: Product
    """How tokens are multiplied with a projection; whoever decodes may set another."""
    layers: int
    heads: int
    key_heads: int
    head_width: int

    def scale(self, layer: int) -> float:
        """Factor of the attention logits."""

    def embed(self, ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, Rope]:
        """ids, positions [N] -> residual stream [N, D], and what turns queries and keys."""

    def read(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        """[N, D] -> normed [N, D]."""

    def queries(self, layer: int, normed: torch.Tensor, rope: Rope) -> torch.Tensor:
        """-> [N, H, d]."""

    def keys_values(
        self, layer: int, normed: torch.Tensor, rope: Rope
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """-> two of [N, G, d]."""

    def projected(
        self, layer: int, normed: torch.Tensor, rope: Rope
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values at once."""

    def write(self, layer: int, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """x [N, D], attended [N, H * d] -> the residual stream after the block [N, D]."""

    def final(self, x: torch.Tensor) -> torch.Tensor:
        """The norm before the head."""


class GPT2Blocks:
    """GPT-2: learned positions, LayerNorm, gelu, projections stored as [in, out]."""

    def __init__(self, base: Any) -> None:
        config = base.config
        self.product: Product = stored
        self.base, self.eps = base, config.layer_norm_epsilon
        self.layers, self.heads = config.n_layer, config.n_head
        self.key_heads, self.head_width = config.n_head, config.n_embd // config.n_head
        self.width = config.n_embd

    @staticmethod
    def fits(config: Any) -> bool:
        """Whether a config is of the plain kind that this class computes."""
        return bool(
            config.activation_function in ("gelu_new", "gelu_pytorch_tanh")
            and not config.add_cross_attention
        )

    def scale(self, layer: int) -> float:
        return float(self.base.h[layer].attn.scaling)

    def embed(self, ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, Rope]:
        return self.base.wte(ids) + self.base.wpe(positions), None

    def read(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        return self._norm(self.base.h[layer].ln_1, x)

    def _norm(self, norm: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
        return layer_norm(x, (self.width,), norm.weight, norm.bias, self.eps)

    def projected(
        self, layer: int, normed: torch.Tensor, rope: Rope
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        found = self.product(self.base.h[layer].attn.c_attn, normed)
        q, k, v = found.view(len(normed), 3, self.heads, self.head_width).unbind(1)
        return q, k, v

    def queries(self, layer: int, normed: torch.Tensor, rope: Rope) -> torch.Tensor:
        part, w = self.base.h[layer].attn.c_attn, self.width
        return torch.addmm(part.bias[:w], normed, part.weight[:, :w]).view(
            len(normed), self.heads, self.head_width
        )

    def keys_values(
        self, layer: int, normed: torch.Tensor, rope: Rope
    ) -> tuple[torch.Tensor, torch.Tensor]:
        part, w = self.base.h[layer].attn.c_attn, self.width
        both = torch.addmm(part.bias[w:], normed, part.weight[:, w:]).view(
            len(normed), 2, self.heads, self.head_width
        )
        k, v = both.unbind(1)
        return k, v

    def write(self, layer: int, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        block = self.base.h[layer]
        x = x + _heard(block.attn.c_proj, self.product(block.attn.c_proj, attended))
        return x + _heard(block.mlp.c_proj, self._mlp(block.mlp, self._norm(block.ln_2, x)))

    def _mlp(self, mlp: Any, normed: torch.Tensor) -> torch.Tensor:
        ours = _kernels_fit(normed)
        if ours and torch.is_grad_enabled():
            found: torch.Tensor = applied(
                GeluMLP, normed, mlp.c_fc.weight, mlp.c_fc.bias, mlp.c_proj.weight, mlp.c_proj.bias
            )
            return found
        inner = self.product(mlp.c_fc, normed)
        return self.product(
            mlp.c_proj, gelu(inner) if ours else nn.functional.gelu(inner, approximate="tanh")
        )

    def final(self, x: torch.Tensor) -> torch.Tensor:
        return self._norm(self.base.ln_f, x)


class LlamaBlocks:
    """Llama: rotary positions, RMSNorm, SwiGLU, perhaps fewer heads of keys, projections stored as [out, in]."""

    def __init__(self, base: Any) -> None:
        config = base.config
        self.product: Product = stored
        self.base, self.eps, self.width = base, config.rms_norm_eps, config.hidden_size
        self.layers, self.heads, self.key_heads = (
            config.num_hidden_layers,
            config.num_attention_heads,
            config.num_key_value_heads,
        )
        self.head_width = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )

    @staticmethod
    def fits(config: Any) -> bool:
        """Whether a config is of the plain kind that this class computes."""
        plain_rope = "dynamic" not in str(config.rope_parameters) and "longrope" not in str(
            config.rope_parameters
        )
        return bool(config.hidden_act == "silu" and not config.mlp_bias and plain_rope)

    def scale(self, layer: int) -> float:
        return float(self.base.layers[layer].self_attn.scaling)

    def embed(self, ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, Rope]:
        x = self.base.embed_tokens(ids)
        cos, sin = self.base.rotary_emb(x, positions[None, :])
        return x, (cos[0, :, None, :], sin[0, :, None, :])

    def read(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        return self._norm(self.base.layers[layer].input_layernorm, x)

    def _norm(self, norm: Any, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, (self.width,), norm.weight, self.eps)

    def projected(
        self, layer: int, normed: torch.Tensor, rope: Rope
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.queries(layer, normed, rope), *self.keys_values(layer, normed, rope)

    def queries(self, layer: int, normed: torch.Tensor, rope: Rope) -> torch.Tensor:
        found = self.product(self.base.layers[layer].self_attn.q_proj, normed)
        return _turned(found.view(len(normed), self.heads, self.head_width), rope)

    def keys_values(
        self, layer: int, normed: torch.Tensor, rope: Rope
    ) -> tuple[torch.Tensor, torch.Tensor]:
        part = self.base.layers[layer].self_attn
        shape = (len(normed), self.key_heads, self.head_width)
        k, v = (
            self.product(part.k_proj, normed).view(shape),
            self.product(part.v_proj, normed).view(shape),
        )
        return _turned(k, rope), v

    def write(self, layer: int, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        block = self.base.layers[layer]
        x = x + _heard(block.self_attn.o_proj, self.product(block.self_attn.o_proj, attended))
        return x + _heard(
            block.mlp.down_proj, self._mlp(block.mlp, self._norm(block.post_attention_layernorm, x))
        )

    def _mlp(self, mlp: Any, normed: torch.Tensor) -> torch.Tensor:
        ours = _kernels_fit(normed)
        if ours and torch.is_grad_enabled():
            found: torch.Tensor = applied(
                SwigluMLP, normed, mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight
            )
            return found
        opened, lifted = (
            nn.functional.silu(self.product(mlp.gate_proj, normed)),
            self.product(mlp.up_proj, normed),
        )
        return self.product(mlp.down_proj, opened.mul_(lifted) if ours else opened * lifted)

    def final(self, x: torch.Tensor) -> torch.Tensor:
        return self._norm(self.base.norm, x)


def _turned(x: torch.Tensor, rope: Rope) -> torch.Tensor:
    """x [N, heads, d] turned by its position (Su et al. 2021, the first half of the width paired with the second)."""
    assert rope is not None
    cos, sin = rope
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def _kernels_fit(x: torch.Tensor) -> bool:
    """Whether the MLPs of kernels.py are for here: on a GPU the libraries' own are fused, and under autocast a backward pass
    by hand would meet two number formats."""
    return not x.is_cuda and not torch.is_autocast_enabled(x.device.type)


def _heard(part: Any, output: torch.Tensor) -> torch.Tensor:
    """The output [N, D] of a projection that ends a branch, after the hooks there that take tokens without pads."""
    for hook in part._forward_hooks.values():
        heard = hook(part, (), output)
        output = output if heard is None else heard
    return output


class Hooks(Enum):
    """Who listens at the parts of a module."""

    none = "nobody"
    tokens = "forward hooks with `takes_tokens` where a branch ends: these blocks call them with tokens [N, D] without pads"
    others = "somebody whom only the module's own forward pass serves"


def hooks_at(base: nn.Module) -> Hooks:
    """The most demanding of a module's listeners."""
    found = Hooks.none
    for name, part in base.named_modules():
        ends = name.endswith(("c_proj", "o_proj", "down_proj"))
        listening = part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks
        if listening or not all(
            ends and hasattr(h, "takes_tokens") for h in part._forward_hooks.values()
        ):
            return Hooks.others
        found = Hooks.tokens if part._forward_hooks else found
    return found


FAMILIES: dict[str, type[GPT2Blocks] | type[LlamaBlocks]] = {
    "gpt2": GPT2Blocks,
    "llama": LlamaBlocks,
}


def blocks_of(module: Any) -> Blocks | None:
    """The blocks of a transformers module, if it is of a family whose forward pass this file has; else None. A module with
    other layers in it (adapters, quantised weights) has a forward pass of its own."""
    family = FAMILIES.get(module.config.model_type)
    base = getattr(module, module.base_model_prefix)
    if family is None or not family.fits(module.config):
        return None
    known = {"Linear", "Conv1D", "Embedding", "LayerNorm", "LlamaRMSNorm"}
    leaves = [
        part for part in base.modules() if next(part.parameters(recurse=False), None) is not None
    ]
    return family(base) if all(type(part).__name__ in known for part in leaves) else None


Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(layer, queries [N, H, d], keys and values [N, G, d]) -> what the queries found [N, H * d]."""


def read_through(
    blocks: Blocks, x: torch.Tensor, rope: Rope, attend: Attend, layers: int | None = None
) -> torch.Tensor:
    """The residual stream [N, D] after the first layers (None: all)."""
    for layer in range(blocks.layers if layers is None else layers):
        q, k, v = blocks.projected(layer, blocks.read(layer, x), rope)
        x = blocks.write(layer, x, attend(layer, q, k, v))
    return x


def states(blocks: Blocks, batch: Rows | SharedRows) -> torch.Tensor:
    """Last hidden states [W, D] of the batch's wanted tokens. The last layer needs the keys and values of all tokens, but
    queries, projection and MLP only of the wanted ones."""
    x, rope = blocks.embed(batch.ids, batch.positions)
    last = blocks.layers - 1 if batch.wanted_grid is not None else blocks.layers
    x = read_through(
        blocks, x, rope, lambda layer, q, k, v: batch.attend(q, k, v, blocks.scale(layer)), last
    )
    if batch.wanted_grid is None:
        return blocks.final(x).index_select(0, batch.wanted)
    normed = blocks.read(last, x)
    k, v = blocks.keys_values(last, normed, rope)
    turn = (
        None
        if rope is None
        else (rope[0].index_select(0, batch.wanted), rope[1].index_select(0, batch.wanted))
    )
    q = blocks.queries(last, normed.index_select(0, batch.wanted), turn)
    x = blocks.write(
        last, x.index_select(0, batch.wanted), batch.attend_wanted(q, k, v, blocks.scale(last))
    )
    return blocks.final(x)
