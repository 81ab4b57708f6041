"""Decoding with a cache of keys and values whose memory is allocated once for many steps.

Shapes: B rows, S slots in use, C slots allocated, H heads, G heads of keys and values, d width of a
head, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from preflab_builtin.causal_lm.fast.blocks import Blocks, run_layers
from preflab_builtin.causal_lm.fast.packing import Rows
from preflab_builtin.causal_lm.fast.projections import Project, projections_for_decoding
from preflab_builtin.causal_lm.fast.slots import (
    SPARE_SLOTS,
    AllocatedSlots,
    ContiguousSlots,
    Pair,
    attend_slots,
)


@dataclass
class SlotCache:
    """`preflab.interfaces.Cache`. blocks: what reads the next token; slots: the keys and values;
    positions [B]: of the next token; tokens: real ones of all rows, known without asking a GPU."""

    blocks: Blocks
    slots: ContiguousSlots | AllocatedSlots
    positions: torch.Tensor
    tokens: int
    step: StaticStep | None = None

    def select(self, rows: torch.Tensor) -> SlotCache:
        """The cache of the chosen rows [B'] (repeats allowed), in that order; this one is
        unchanged."""
        positions = self.positions.index_select(0, rows)
        return SlotCache(self.blocks, self.slots.select(rows), positions, int(positions.sum()))


def prefill(
    blocks: Blocks, ids: torch.Tensor, mask: torch.Tensor, graphs: bool
) -> tuple[torch.Tensor, SlotCache]:
    """Read left-padded prompts [B, Q] -> last hidden states of their last tokens [B, D], and the
    cache. graphs: for steps that a GPU records."""
    wanted = torch.zeros_like(mask)
    wanted[:, -1] = True
    batch = Rows.of(ids, mask, wanted)
    contiguous = not graphs and ids.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    width, allocated = ids.shape[1], ids.shape[1] + (0 if contiguous else SPARE_SLOTS)
    row_and_slot = mask.nonzero()  # right-aligned, as the prompts are
    at = (row_and_slot * torch.tensor([allocated, 1], device=ids.device)).sum(1)
    prompts = list[Pair]()

    def stored(tokens: torch.Tensor) -> torch.Tensor:
        flat = tokens.new_zeros(len(ids) * allocated, *tokens.shape[1:])
        flat.index_copy_(0, at, tokens)
        return flat.view(len(ids), allocated, *tokens.shape[1:]).transpose(1, 2).contiguous()

    def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        # Under autocast rotated keys are float32.
        prompts.append((stored(k.to(v.dtype)), stored(v)))
        return batch.attend(q, k, v, blocks.attention_scale(layer))

    x = run_layers(blocks, *blocks.embed(batch.ids, batch.positions), attend)
    pads = None
    if not bool(mask.all()):
        pads = torch.zeros(len(ids), 1, width, device=ids.device)
        pads.masked_fill_(~mask[:, None], float("-inf"))
    blocks.project = projections_for_decoding(ids.device)
    slots: ContiguousSlots | AllocatedSlots
    if contiguous:
        slots = ContiguousSlots.of(prompts, pads)
    else:
        slots = AllocatedSlots.of(prompts, width, pads)
    cache = SlotCache(blocks, slots, mask.sum(1), len(batch.ids))
    return blocks.final_norm(x.index_select(0, batch.wanted)), cache


def extend(tokens: torch.Tensor, cache: SlotCache, head: Any, graphs: bool) -> torch.Tensor:
    """Read one more token per row [B] -> next-token logits [B, V] float32; the cache grows in
    place.

    head: the unembedding. graphs: with a step that a GPU records once and repeats (`StaticStep`).
    """
    slots = cache.slots
    if not graphs:
        return _logits(head, _next_states(tokens, cache), cache.blocks.project)
    assert isinstance(slots, AllocatedSlots), "graphs must have been true in prefill already"
    slots.make_room()
    if cache.step is None or cache.step.allocated != slots.allocated:
        cache.step = StaticStep(cache, slots, head, record=tokens.is_cuda)
    return cache.step(tokens, cache, slots)


def _logits(head: Any, hidden: torch.Tensor, project: Project) -> torch.Tensor:
    with torch.autocast(hidden.device.type, enabled=False):
        return project(head, hidden.float())


def _next_states(tokens: torch.Tensor, cache: SlotCache) -> torch.Tensor:
    """tokens [B] -> last hidden states [B, D]; the cache holds one token more."""
    blocks, slots = cache.blocks, cache.slots
    slots.open()
    cache.tokens += len(tokens)

    def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return slots.attend(layer, q, (k, v), blocks.attention_scale(layer))

    x = run_layers(blocks, *blocks.embed(tokens, cache.positions), attend)
    cache.positions = cache.positions + 1
    return blocks.final_norm(x)


class StaticStep:
    """`extend` with shapes that never change, so that a GPU can record it once and repeat it
    without Python.

    It attends to all allocated slots, with a bias that hides those ahead, and writes into a slot
    whose number is a tensor. Each cache gets a new one, and again whenever it allocates more slots.
    record: False runs the same operations unrecorded, on any device.
    """

    def __init__(self, cache: SlotCache, slots: AllocatedSlots, head: Any, record: bool) -> None:
        self.blocks, self.head = cache.blocks, head
        # Not the cache itself, which holds this step: a reference cycle would keep a GPU's memory
        # until Python next looks for cycles.
        self.keys, self.values = slots.keys, slots.values
        self.allocated, device = slots.allocated, cache.positions.device
        self.tokens, self.positions = torch.zeros_like(cache.positions), cache.positions.clone()
        self.slot = torch.zeros(1, dtype=torch.long, device=device)
        bias = slots.bias
        if bias is None:
            bias = slots.keys[0].new_zeros(len(cache.positions), 1, 1, self.allocated)
        self.bias = bias
        self.numbers = torch.arange(self.allocated, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        if record:
            self._record(slots.used)

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

    def __call__(
        self, tokens: torch.Tensor, cache: SlotCache, slots: AllocatedSlots
    ) -> torch.Tensor:
        """One more token per row [B] -> next-token logits [B, V] float32; the cache that this step
        was made for grows in place."""
        self.tokens.copy_(tokens)
        self.positions.copy_(cache.positions)
        self.slot.fill_(slots.used)
        slots.used += 1
        cache.tokens += len(tokens)
        cache.positions = cache.positions + 1
        if self.graph is None:
            return self._compute()
        self.graph.replay()
        return self.logits.clone()

    def _compute(self) -> torch.Tensor:
        blocks = self.blocks
        bias = self.bias.masked_fill(self.numbers > self.slot, float("-inf"))

        def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            keys, values = self.keys[layer], self.values[layer]
            keys.index_copy_(2, self.slot, k[:, :, None].to(keys.dtype))
            values.index_copy_(2, self.slot, v[:, :, None].to(values.dtype))
            return attend_slots(q, keys, values, bias, blocks.attention_scale(layer))

        x = run_layers(blocks, *blocks.embed(self.tokens, self.positions), attend)
        return _logits(self.head, blocks.final_norm(x), blocks.project)
