"""The transformer blocks of a model family as steps on its module's weights, and a pass through
them.

A pass is: embed; per layer norm, queries / keys / values, attention, then projection, residual and
MLP; final norm. Families (gpt2.py, llama.py) differ in these steps alone. Who attends to whom is
given from outside: batches without pads (packing.py) or the key-value cache (cache.py).
Shapes: N tokens, D width, H heads, G heads of keys and values, d width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from torch.utils.checkpoint import checkpoint

from preflab.sharding import inside
from preflab_builtin.causal_lm.fast.packing import Rows, SharedRows
from preflab_builtin.causal_lm.fast.projections import Project, Weights

Rotary = tuple[torch.Tensor, torch.Tensor] | None
"""cos and sin [N, 1, d] of rotary positions; None: the family has learned positions."""


Step = Callable[..., Any]
"""A pure function of a block's parts, its sizes, what multiplies, and tokens [N, ...]: what a
family computes on one side of attention. It reads the weights of parts, and hooks where they have
some."""


def plainly(step: Step, parts: Any, sizes: Any, project: Project, *tokens: Any) -> Any:
    """Run a step as it is."""
    return step(parts, sizes, project, *tokens)


class Blocks(Protocol):
    """The steps of a family."""

    project: Project
    """Multiplies tokens with a projection; decoding sets another one."""
    run: Callable[..., Any]
    """Runs a step, as `plainly`; a pass that is compiled sets another one."""
    layers: int
    heads: int
    key_heads: int
    head_width: int

    def block(self, layer: int) -> Any:
        """The module that holds a layer's weights."""

    def attention_scale(self, layer: int) -> float:
        """Factor of the attention logits."""

    def embed(self, ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, Rotary]:
        """ids, positions [N] -> residual stream [N, D], and what rotates queries and keys."""

    def attention_norm(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        """The norm before attention: residual stream [N, D] -> [N, D]."""

    def queries(self, layer: int, normed: torch.Tensor, rotary: Rotary) -> torch.Tensor:
        """normed [N, D] -> [N, H, d]."""

    def keys_values(
        self, layer: int, normed: torch.Tensor, rotary: Rotary
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """normed [N, D] -> keys and values, each [N, G, d]."""

    def before_attention(
        self, layer: int, x: torch.Tensor, rotary: Rotary
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """All of the above together: residual stream [N, D] -> queries, keys and values."""

    def after_attention(self, layer: int, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """The rest of the block: residual stream [N, D] and attended [N, H * d] -> [N, D]."""

    def final_norm(self, x: torch.Tensor) -> torch.Tensor:
        """The norm before the head."""


Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(layer, queries [N, H, d], keys and values [N, G, d]) -> attended values [N, H * d]."""


Compute = Callable[[Callable[[torch.Tensor], torch.Tensor], torch.Tensor], torch.Tensor]
"""(a block, its input [N, D]) -> its output."""


def directly(block: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Compute a block once."""
    return block(x)


def again(block: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Keep only a block's input for the backward pass, which computes the block again (Chen et al.
    2016). A block draws no random numbers."""
    if not torch.is_grad_enabled():
        return block(x)
    out: torch.Tensor = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
    return out


def run_layers(
    blocks: Blocks,
    x: torch.Tensor,
    rotary: Rotary,
    attend: Attend,
    layers: int | None = None,
    compute: Compute = directly,
) -> torch.Tensor:
    """The residual stream [N, D] after the first ``layers`` blocks (None: all)."""
    for layer in range(blocks.layers if layers is None else layers):
        block = partial(_layer, blocks, layer, rotary, attend)
        x = inside(blocks.block(layer), compute, block, x)
    return x


def _layer(
    blocks: Blocks, layer: int, rotary: Rotary, attend: Attend, x: torch.Tensor
) -> torch.Tensor:
    """The residual stream [N, D] after one block more."""
    q, k, v = blocks.before_attention(layer, x, rotary)
    return blocks.after_attention(layer, x, attend(layer, q, k, v))


def wanted_states(
    blocks: Blocks, batch: Rows | SharedRows, compute: Compute = directly
) -> torch.Tensor:
    """Last hidden states [W, D] of the batch's wanted tokens. The last layer needs the keys and
    values of all tokens, but queries, projection and MLP only of the wanted ones. compute: one
    block (`again` keeps less for the backward pass)."""
    x, rotary = blocks.embed(batch.ids, batch.positions)
    last = blocks.layers - 1 if batch.wanted_grid is not None else blocks.layers

    def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return batch.attend(q, k, v, blocks.attention_scale(layer))

    x = run_layers(blocks, x, rotary, attend, last, compute)
    if batch.wanted_grid is None:
        return blocks.final_norm(x).index_select(0, batch.wanted)
    block = partial(_last_layer, blocks, batch, rotary)
    return blocks.final_norm(inside(blocks.block(last), compute, block, x))


def _last_layer(
    blocks: Blocks, batch: Rows | SharedRows, rotary: Rotary, x: torch.Tensor
) -> torch.Tensor:
    """The residual stream [W, D] of the wanted tokens after the last block, from that of all tokens
    [N, D] before it."""
    last = blocks.layers - 1
    normed = blocks.attention_norm(last, x)
    k, v = blocks.keys_values(last, normed, rotary)
    if rotary is not None:
        rotary = (rotary[0].index_select(0, batch.wanted), rotary[1].index_select(0, batch.wanted))
    q = blocks.queries(last, normed.index_select(0, batch.wanted), rotary)
    attended = batch.attend_wanted(q, k, v, blocks.attention_scale(last))
    return blocks.after_attention(last, x.index_select(0, batch.wanted), attended)


def after_hooks(part: Any, output: torch.Tensor) -> torch.Tensor:
    """The output [N, D] of a projection that ends a branch, after its hooks that take tokens
    without pads (see supported.py). Without its module it has none."""
    if isinstance(part, Weights):
        return output
    for hook in part._forward_hooks.values():
        changed = hook(part, (), output)
        output = output if changed is None else changed
    return output
