"""Decoding with a cache of keys and values whose memory is allocated once for many steps.

Shapes: B rows, S slots in use, C slots allocated, H heads, G heads of keys and values, d width of a
head, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from preflab_builtin.causal_lm.fast.blocks import Blocks, run_layers
from preflab_builtin.causal_lm.fast.packing import Rows
from preflab_builtin.causal_lm.fast.projections import Project, projections_for_decoding

SPARE_SLOTS = 32
"""Slots allocated at a time beyond those in use."""


@dataclass
class SlotCache:
    """`preflab.interfaces.Cache`. blocks: what reads the next token; keys, values: one
    [B, G, C, d] per layer, rows right-aligned at slot ``used``; positions [B]: of the next token;
    bias [B, 1, 1, C] or None: 0 on tokens, -inf on left pads; tokens: real ones of all rows, known
    without asking a GPU."""

    blocks: Blocks
    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    used: int
    positions: torch.Tensor
    bias: torch.Tensor | None
    tokens: int
    step: StaticStep | None = None

    @property
    def allocated(self) -> int:
        """Slots allocated, C."""
        return self.keys[0].shape[2]

    def select(self, rows: torch.Tensor) -> SlotCache:
        """The cache of the chosen rows [B'] (repeats allowed), in that order; this one is
        unchanged."""
        keys = [self._rows_of(x, rows) for x in self.keys]
        values = [self._rows_of(x, rows) for x in self.values]
        bias = self.bias
        if bias is not None:
            bias = self._rows_of(bias.transpose(2, 3), rows).transpose(2, 3)
        positions = self.positions.index_select(0, rows)
        tokens = int(positions.sum())
        return SlotCache(self.blocks, keys, values, self.used, positions, bias, tokens)

    def _rows_of(self, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """x [B, heads, C, d] -> [B', heads, used + spare slots, d]."""
        chosen = x.new_zeros(len(rows), x.shape[1], self.used + SPARE_SLOTS, x.shape[3])
        torch.index_select(x[:, :, : self.used], 0, rows, out=chosen[:, :, : self.used])
        return chosen

    def make_room(self) -> None:
        """Allocate more slots if all are in use."""
        if self.used < self.allocated:
            return
        more = max(SPARE_SLOTS, self.allocated // 2)
        for tensors in (self.keys, self.values):
            for layer, x in enumerate(tensors):
                tensors[layer] = torch.cat([x, x.new_zeros(*x.shape[:2], more, x.shape[3])], dim=2)
        if self.bias is not None:
            new = self.bias.new_zeros(*self.bias.shape[:3], more)
            self.bias = torch.cat([self.bias, new], dim=3)


def prefill(
    blocks: Blocks, ids: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, SlotCache]:
    """Read left-padded prompts [B, Q] -> last hidden states of their last tokens [B, D], and the
    cache."""
    wanted = torch.zeros_like(mask)
    wanted[:, -1] = True
    batch = Rows.of(ids, mask, wanted)
    width, allocated = ids.shape[1], ids.shape[1] + SPARE_SLOTS
    row_and_slot = mask.nonzero()  # right-aligned, as the prompts are
    slots = (row_and_slot * torch.tensor([allocated, 1], device=ids.device)).sum(1)
    keys, values = list[torch.Tensor](), list[torch.Tensor]()

    def stored(tokens: torch.Tensor) -> torch.Tensor:
        flat = tokens.new_zeros(len(ids) * allocated, *tokens.shape[1:])
        flat.index_copy_(0, slots, tokens)
        return flat.view(len(ids), allocated, *tokens.shape[1:]).transpose(1, 2).contiguous()

    def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        keys.append(stored(k.to(v.dtype)))  # under autocast rotated keys are float32
        values.append(stored(v))
        return batch.attend(q, k, v, blocks.attention_scale(layer))

    x = run_layers(blocks, *blocks.embed(batch.ids, batch.positions), attend)
    bias = None
    if not bool(mask.all()):
        bias = torch.zeros(len(ids), 1, 1, allocated, device=ids.device)
        bias[:, 0, 0, :width].masked_fill_(~mask, float("-inf"))
    blocks.project = projections_for_decoding(ids.device)
    cache = SlotCache(blocks, keys, values, width, mask.sum(1), bias, len(batch.ids))
    return blocks.final_norm(x.index_select(0, batch.wanted)), cache


def extend(tokens: torch.Tensor, cache: SlotCache, head: Any, graphs: bool) -> torch.Tensor:
    """Read one more token per row [B] -> next-token logits [B, V] float32; the cache grows in
    place.

    head: the unembedding. graphs: with a step that a GPU records once and repeats (`StaticStep`).
    """
    cache.make_room()
    if not graphs:
        return _logits(head, _next_states(tokens, cache), cache.blocks.project)
    if cache.step is None or cache.step.allocated != cache.allocated:
        cache.step = StaticStep(cache, head, record=tokens.is_cuda)
    return cache.step(tokens, cache)


def _logits(head: Any, hidden: torch.Tensor, project: Project) -> torch.Tensor:
    with torch.autocast(hidden.device.type, enabled=False):
        return project(head, hidden.float())


def _next_states(tokens: torch.Tensor, cache: SlotCache) -> torch.Tensor:
    """tokens [B] -> last hidden states [B, D]; the cache, which has room, holds one token more."""
    blocks, slot = cache.blocks, cache.used
    cache.used += 1
    cache.tokens += len(tokens)
    bias = None if cache.bias is None else cache.bias[..., : cache.used].to(cache.keys[0].dtype)

    def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        keys, values = cache.keys[layer], cache.values[layer]
        keys[:, :, slot], values[:, :, slot] = k, v
        used_keys, used_values = keys[:, :, : cache.used], values[:, :, : cache.used]
        return _attend_slots(blocks, layer, q, used_keys, used_values, bias)

    x = run_layers(blocks, *blocks.embed(tokens, cache.positions), attend)
    cache.positions = cache.positions + 1
    return blocks.final_norm(x)


def _attend_slots(
    blocks: Blocks,
    layer: int,
    q: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """q [B, H, d] of one token per row, keys and values [B, G, S, d], bias [B, 1, 1, S] -> [B, H *
    d]. The queries that share a head of keys count as several queries of one row: none masks
    another."""
    grouped = q.view(len(q), blocks.key_heads, blocks.heads // blocks.key_heads, blocks.head_width)
    out = scaled_dot_product_attention(
        grouped, keys, values, attn_mask=bias, scale=blocks.attention_scale(layer)
    )
    return out.reshape(len(q), -1)


class StaticStep:
    """`extend` with shapes that never change, so that a GPU can record it once and repeat it
    without Python.

    It attends to all allocated slots, with a bias that hides those ahead, and writes into a slot
    whose number is a tensor. Each cache gets a new one, and again whenever it allocates more slots.
    record: False runs the same operations unrecorded, on any device.
    """

    def __init__(self, cache: SlotCache, head: Any, record: bool) -> None:
        self.blocks, self.head = cache.blocks, head
        # Not the cache itself, which holds this step: a reference cycle would keep a GPU's memory
        # until Python next looks for cycles.
        self.keys, self.values = cache.keys, cache.values
        self.allocated, device = cache.allocated, cache.positions.device
        self.tokens, self.positions = torch.zeros_like(cache.positions), cache.positions.clone()
        self.slot = torch.zeros(1, dtype=torch.long, device=device)
        bias = cache.bias
        if bias is None:
            bias = torch.zeros(len(cache.positions), 1, 1, self.allocated, device=device)
        self.bias = bias.to(cache.keys[0].dtype)
        self.slots = torch.arange(self.allocated, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        if record:
            self._record(cache.used)

    def _record(self, used: int) -> None:
        # What the warm-up writes is overwritten by the first real step: the slot is the same.
        self.slot.fill_(used)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._compute()
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.logits = self._compute()

    def __call__(self, tokens: torch.Tensor, cache: SlotCache) -> torch.Tensor:
        """One more token per row [B] -> next-token logits [B, V] float32; the cache that this step
        was made for grows in place."""
        self.tokens.copy_(tokens)
        self.positions.copy_(cache.positions)
        self.slot.fill_(cache.used)
        cache.used += 1
        cache.tokens += len(tokens)
        cache.positions = cache.positions + 1
        if self.graph is None:
            return self._compute()
        self.graph.replay()
        return self.logits.clone()

    def _compute(self) -> torch.Tensor:
        blocks = self.blocks
        bias = self.bias.masked_fill(self.slots > self.slot, float("-inf"))

        def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            keys, values = self.keys[layer], self.values[layer]
            keys.index_copy_(2, self.slot, k[:, :, None].to(keys.dtype))
            values.index_copy_(2, self.slot, v[:, :, None].to(values.dtype))
            return _attend_slots(blocks, layer, q, keys, values, bias)

        x = run_layers(blocks, *blocks.embed(self.tokens, self.positions), attend)
        return _logits(self.head, blocks.final_norm(x), blocks.project)
