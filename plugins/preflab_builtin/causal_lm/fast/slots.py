"""Where keys and values are kept while decoding: contiguous for a CPU; for a GPU, whose recorded
step needs shapes that never change, in one tensor of all slots.

Shapes: B rows, S slots in use, C slots allocated, H heads, G heads of keys and values, d width of a
head. The queries that share a head of keys count as several queries of one row: none masks another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention

SPARE_SLOTS = 32
"""Slots allocated at a time beyond those in use."""

Pair = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of a layer."""


class Slots(Protocol):
    """Keys and values of all layers: rows right-aligned, a slot for each token of the longest."""

    def select(self, rows: torch.Tensor) -> Slots:
        """Those of the chosen rows [B'] (repeats allowed), in that order, in other memory."""

    def open(self) -> None:
        """Take a slot for one more token of each row; `attend` fills it, layer by layer."""

    def attend(self, layer: int, q: torch.Tensor, new: Pair, scale: float) -> torch.Tensor:
        """q [B, H, d] and new keys and values [B, G, d] of one token a row, which attends to itself
        and to those before it -> [B, H * d]."""


@dataclass
class ContiguousSlots:
    """For each layer all older slots [B * G, S - n, d], full to the last number, and the n latest
    in a block [B * G, 32, d], which is appended to the older ones when it is full.

    A step multiplies one query a row and head with every key. In a slice [B, G, :S] of a larger
    tensor the memory read jumps at every row, and there a processor's prefetching stops: it reads 6
    to 7 GB/s, and 17 to 28 of full tensors (two AMD cores). pads [B, 1, Q]: -inf on left pads of
    the prompts' Q slots, 0 elsewhere; None if there is no pad.
    """

    key_heads: int
    older: list[Pair]
    latest: list[Pair]
    filled: int
    pads: torch.Tensor | None

    @staticmethod
    def of(prompts: list[Pair], pads: torch.Tensor | None) -> ContiguousSlots:
        """prompts: [B, G, Q, d] each, contiguous; pads [B, 1, Q]."""
        older = [(k.flatten(0, 1), v.flatten(0, 1)) for k, v in prompts]
        latest = [(_block(k), _block(v)) for k, v in older]
        return ContiguousSlots(prompts[0][0].shape[1], older, latest, 0, pads)

    def select(self, rows: torch.Tensor) -> ContiguousSlots:
        """See `Slots`."""

        def chosen(pairs: list[Pair]) -> list[Pair]:
            by_row = (
                [x.view(-1, self.key_heads, *x.shape[1:]).index_select(0, rows) for x in pair]
                for pair in pairs
            )
            return [(k.flatten(0, 1), v.flatten(0, 1)) for k, v in by_row]

        pads = None if self.pads is None else self.pads.index_select(0, rows)
        older, latest = chosen(self.older), chosen(self.latest)
        return ContiguousSlots(self.key_heads, older, latest, self.filled, pads)

    def open(self) -> None:
        """See `Slots`."""
        if self.filled == SPARE_SLOTS:
            for layer, (old, new) in enumerate(zip(self.older, self.latest, strict=True)):
                self.older[layer] = (torch.cat([old[0], new[0]], 1), torch.cat([old[1], new[1]], 1))
            self.filled = 0
        self.filled += 1

    def attend(self, layer: int, q: torch.Tensor, new: Pair, scale: float) -> torch.Tensor:
        """See `Slots`."""
        (old_keys, old_values), (keys, values) = self.older[layer], self.latest[layer]
        rows, slots = old_keys.shape[:2]
        keys[:, self.filled - 1] = new[0].reshape(rows, -1)
        values[:, self.filled - 1] = new[1].reshape(rows, -1)
        queries = (q * scale).reshape(rows, -1, q.shape[2])
        old_scores = torch.bmm(queries, old_keys.transpose(1, 2))
        if self.pads is not None:
            of_row = old_scores.view(q.shape[0], -1, slots)
            of_row[..., : self.pads.shape[2]].add_(self.pads)
        # The block is read whole: a product with the part in use takes 1.6 times as long.
        scores = torch.cat([old_scores, torch.bmm(queries, keys.transpose(1, 2))], 2)
        scores[..., slots + self.filled :].fill_(float("-inf"))
        old_shares, shares = torch.split(scores.softmax(-1), [slots, SPARE_SLOTS], 2)
        return torch.bmm(old_shares, old_values).baddbmm_(shares, values).view(q.shape[0], -1)


def _block(older: torch.Tensor) -> torch.Tensor:
    """[B * G, Q, d] -> zeros [B * G, 32, d]."""
    return older.new_zeros(len(older), SPARE_SLOTS, older.shape[2])


@dataclass
class AllocatedSlots:
    """One tensor [B, G, C, d] a layer for keys and one for values; bias [B, 1, 1, C] or None: 0 on
    tokens, -inf on left pads."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    used: int
    bias: torch.Tensor | None

    @staticmethod
    def of(prompts: list[Pair], used: int, pads: torch.Tensor | None) -> AllocatedSlots:
        """prompts: [B, G, C, d] each; pads [B, 1, used]."""
        keys, values = [k for k, _ in prompts], [v for _, v in prompts]
        bias = None
        if pads is not None:
            spare = keys[0].shape[2] - used
            bias = torch.nn.functional.pad(pads, (0, spare))[:, None].to(keys[0].dtype)
        return AllocatedSlots(keys, values, used, bias)

    @property
    def allocated(self) -> int:
        """Slots allocated, C."""
        return self.keys[0].shape[2]

    def select(self, rows: torch.Tensor) -> AllocatedSlots:
        """See `Slots`."""
        keys = [self._rows_of(x, rows) for x in self.keys]
        values = [self._rows_of(x, rows) for x in self.values]
        bias = self.bias
        if bias is not None:
            bias = self._rows_of(bias.transpose(2, 3), rows).transpose(2, 3)
        return AllocatedSlots(keys, values, self.used, bias)

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

    def open(self) -> None:
        """See `Slots`."""
        self.make_room()
        self.used += 1

    def attend(self, layer: int, q: torch.Tensor, new: Pair, scale: float) -> torch.Tensor:
        """See `Slots`."""
        keys, values, slot = self.keys[layer], self.values[layer], self.used - 1
        keys[:, :, slot], values[:, :, slot] = new
        bias = None if self.bias is None else self.bias[..., : self.used]
        return attend_slots(q, keys[:, :, : self.used], values[:, :, : self.used], bias, scale)


def attend_slots(
    q: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    """q [B, H, d] of one token per row, keys and values [B, G, S, d], bias [B, 1, 1, S] -> [B, H *
    d]."""
    grouped = q.view(len(q), keys.shape[1], -1, q.shape[2])
    out = scaled_dot_product_attention(grouped, keys, values, attn_mask=bias, scale=scale)
    return out.reshape(len(q), -1)
