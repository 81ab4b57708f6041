"""Keys and values of the tokens read so far, in memory that is taken once.

Shapes: B rows, S slots in use, C slots taken, H heads, G heads of keys and values, d width of a head, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import scaled_dot_product_attention

from preflab_builtin.causal_lm.blocks import Blocks, read_through
from preflab_builtin.causal_lm.packing import Rows

SPARE = 32
"""Slots taken at a time beyond those in use."""


@dataclass
class SlotCache:
    """`preflab.interfaces.Cache`. blocks: what reads the next token; keys, values: one [B, G, C, d] a layer, rows right-aligned
    at slot ``used``; positions [B]: of the next token; bias [B, 1, 1, C] or None: 0 where a token stands, -inf on left pads."""

    blocks: Blocks
    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    used: int
    positions: torch.Tensor
    bias: torch.Tensor | None
    tokens: int
    """Real tokens of all rows, known without asking a GPU."""
    step: StaticStep | None = None

    def select(self, rows: torch.Tensor) -> SlotCache:
        """The cache of the chosen rows [B'] (repeats allowed), in that order; this one is untouched."""
        room = self.used + SPARE
        keys, values = (
            [self._taken(x, rows, room) for x in kept] for kept in (self.keys, self.values)
        )
        bias = (
            None
            if self.bias is None
            else self._taken(self.bias.transpose(2, 3), rows, room).transpose(2, 3)
        )
        positions = self.positions.index_select(0, rows)
        return SlotCache(
            self.blocks, keys, values, self.used, positions, bias, int(positions.sum())
        )

    def _taken(self, kept: torch.Tensor, rows: torch.Tensor, room: int) -> torch.Tensor:
        """kept [B, heads, C, d] -> [B', heads, room, d]."""
        found = kept.new_zeros(len(rows), kept.shape[1], room, kept.shape[3])
        torch.index_select(kept[:, :, : self.used], 0, rows, out=found[:, :, : self.used])
        return found

    def make_room(self) -> None:
        """Take more slots if all are in use."""
        taken = self.keys[0].shape[2]
        if self.used < taken:
            return
        more = max(SPARE, taken // 2)
        for kept in (self.keys, self.values):
            for layer, x in enumerate(kept):
                kept[layer] = torch.cat([x, x.new_zeros(*x.shape[:2], more, x.shape[3])], dim=2)
        if self.bias is not None:
            self.bias = torch.cat(
                [self.bias, self.bias.new_zeros(*self.bias.shape[:3], more)], dim=3
            )


def prefilled(
    blocks: Blocks, ids: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, SlotCache]:
    """Read left-padded prompts [B, Q] -> last hidden states of their last tokens [B, D], and the cache."""
    wanted = torch.zeros_like(mask)
    wanted[:, -1] = True
    batch = Rows.of(ids, mask, wanted)
    width, taken = ids.shape[1], ids.shape[1] + SPARE
    slots = (mask.nonzero() * torch.tensor([taken, 1], device=ids.device)).sum(
        1
    )  # right-aligned, as the prompts are
    keys, values = list[torch.Tensor](), list[torch.Tensor]()

    def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        for kept, tokens in (
            (keys, k.to(v.dtype)),
            (values, v),
        ):  # under autocast turned keys are float32
            flat = tokens.new_zeros(len(ids) * taken, *tokens.shape[1:]).index_copy_(
                0, slots, tokens
            )
            kept.append(flat.view(len(ids), taken, *tokens.shape[1:]).transpose(1, 2).contiguous())
        return batch.attend(q, k, v, blocks.scale(layer))

    x = read_through(blocks, *blocks.embed(batch.ids, batch.positions), attend)
    bias = None
    if not bool(mask.all()):
        bias = torch.zeros(len(ids), 1, 1, taken, device=ids.device)
        bias[:, 0, 0, :width].masked_fill_(~mask, float("-inf"))
    cache = SlotCache(blocks, keys, values, width, mask.sum(1), bias, len(batch.ids))
    return blocks.final(x.index_select(0, batch.wanted)), cache


def extended(tokens: torch.Tensor, cache: SlotCache) -> torch.Tensor:
    """Read one more token a row [B] -> last hidden states [B, D]; the cache grows in place."""
    cache.make_room()
    blocks, slot = cache.blocks, cache.used
    cache.used += 1
    cache.tokens += len(tokens)
    bias = None if cache.bias is None else cache.bias[..., : cache.used].to(cache.keys[0].dtype)

    def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        keys, values = cache.keys[layer], cache.values[layer]
        keys[:, :, slot], values[:, :, slot] = k, v
        return _looked_up(
            blocks, layer, q, keys[:, :, : cache.used], values[:, :, : cache.used], bias
        )

    x = read_through(blocks, *blocks.embed(tokens, cache.positions), attend)
    cache.positions = cache.positions + 1
    return blocks.final(x)


def _looked_up(
    blocks: Blocks,
    layer: int,
    q: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """q [B, H, d] of one token a row, keys and values [B, G, S, d], bias [B, 1, 1, S] -> [B, H * d]. The queries that share
    a head of keys are so many queries at one place: none masks another."""
    grouped = q.view(len(q), blocks.key_heads, blocks.heads // blocks.key_heads, blocks.head_width)
    found = scaled_dot_product_attention(
        grouped, keys, values, attn_mask=bias, scale=blocks.scale(layer)
    )
    return found.reshape(len(q), -1)


class StaticStep:
    """`extended` with shapes that stay as they are, so that a GPU can record it once and repeat it without Python.

    It attends to all slots taken, those ahead hidden by the bias, and writes at a slot that is a tensor. Recorded anew for
    every cache and whenever one takes more slots. record: False runs the same operations unrecorded, on any device.
    """

    def __init__(
        self, unembed: Callable[[torch.Tensor], torch.Tensor], cache: SlotCache, record: bool
    ) -> None:
        """unembed: hidden states [B, D] -> logits [B, V]."""
        self.blocks, self.unembed = cache.blocks, unembed
        # Not the cache itself, which holds this step: a circle keeps a GPU's memory until Python looks for circles.
        self.keys, self.values = cache.keys, cache.values
        rows, taken, device = len(cache.positions), cache.keys[0].shape[2], cache.positions.device
        self.taken = taken
        self.tokens, self.positions = torch.zeros_like(cache.positions), cache.positions.clone()
        self.slot = torch.zeros(1, dtype=torch.long, device=device)
        before = torch.zeros(rows, 1, 1, taken, device=device) if cache.bias is None else cache.bias
        self.seen = before.to(cache.keys[0].dtype)
        self.places = torch.arange(taken, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        if record:
            self._record(cache.used)

    def _record(self, used: int) -> None:
        # What is written while warming up is written again by the first step that counts: the slot is the same.
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
        """One more token a row [B] -> next-token logits [B, V] float32; the cache, which it was made for, grows in place."""
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
        bias = self.seen.masked_fill(self.places > self.slot, float("-inf"))

        def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            keys, values = self.keys[layer], self.values[layer]
            keys.index_copy_(2, self.slot, k[:, :, None].to(keys.dtype))
            values.index_copy_(2, self.slot, v[:, :, None].to(values.dtype))
            return _looked_up(blocks, layer, q, keys, values, bias)

        return self.unembed(
            blocks.final(read_through(blocks, *blocks.embed(self.tokens, self.positions), attend))
        )
