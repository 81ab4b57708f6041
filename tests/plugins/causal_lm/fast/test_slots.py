"""Keys and values while decoding, against a list of them: attention of one query to every token of
its row, in float64 and one head after the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import pad

from preflab_builtin.causal_lm.fast.slots import (
    SPARE_SLOTS,
    AllocatedSlots,
    ContiguousSlots,
    Pair,
)

LAYERS, QUERY_HEADS, WIDTH, SCALE = 2, 4, 8, 8**-0.5
LENGTHS = (3, 7, 1, 5)
"""Tokens of the prompts; 7 slots hold them, right-aligned."""


class Plain:
    """The tokens of each row by layer: [n, G, d] keys and values."""

    def __init__(self, rows: list[list[Pair]]) -> None:
        self.rows = rows

    def attend(self, layer: int, row: int, q: torch.Tensor) -> torch.Tensor:
        """q [H, d] -> [H * d]: query head h reads the keys of head h * G // H."""
        keys, values = (x.double() for x in self.rows[row][layer])
        heads = []
        for head, query in enumerate(q.double()):
            own = head * keys.shape[1] // len(q)
            shares = torch.softmax(keys[:, own] @ query * SCALE, 0)
            heads.append(shares @ values[:, own])
        return torch.cat(heads)


def drawn(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator)


def pair(generator: torch.Generator, *shape: int) -> Pair:
    return drawn(generator, *shape), drawn(generator, *shape)


def contiguous(prompts: list[Pair], pads: torch.Tensor | None) -> ContiguousSlots:
    return ContiguousSlots.of(prompts, pads)


def allocated(prompts: list[Pair], pads: torch.Tensor | None) -> AllocatedSlots:
    used = prompts[0][0].shape[2]
    room = (0, 0, 0, SPARE_SLOTS)
    return AllocatedSlots.of([(pad(k, room), pad(v, room)) for k, v in prompts], used, pads)


def filled(
    make: Callable[[list[Pair], torch.Tensor | None], ContiguousSlots | AllocatedSlots],
    key_heads: int,
    lengths: tuple[int, ...],
    generator: torch.Generator,
) -> tuple[ContiguousSlots | AllocatedSlots, Plain]:
    """Slots that hold prompts, and the same as lists."""
    longest, rows = max(lengths), len(lengths)
    prompts = [pair(generator, rows, key_heads, longest, WIDTH) for _ in range(LAYERS)]
    plain = [
        [
            (k[row, :, longest - n :].transpose(0, 1), v[row, :, longest - n :].transpose(0, 1))
            for k, v in prompts
        ]
        for row, n in enumerate(lengths)
    ]
    pads = torch.zeros(rows, 1, longest)
    for row, n in enumerate(lengths):
        pads[row, :, : longest - n] = float("-inf")
    ragged = len(set(lengths)) > 1
    return make([(k.clone(), v.clone()) for k, v in prompts], pads if ragged else None), Plain(
        plain
    )


@pytest.mark.parametrize("make", [contiguous, allocated])
@pytest.mark.parametrize("key_heads", [1, 2, 4])  # one for all queries, for pairs, for each
@pytest.mark.parametrize("lengths", [LENGTHS, (4, 4, 4, 4)])
def test_a_step_attends_to_every_token_of_its_row(
    make: Callable[[list[Pair], torch.Tensor | None], ContiguousSlots | AllocatedSlots],
    key_heads: int,
    lengths: tuple[int, ...],
) -> None:
    """70 steps are more than two blocks of 32. Two rows leave on the way, before a block is full
    and after it; one is repeated, and its copies go on apart."""
    generator = torch.Generator().manual_seed(key_heads)
    slots, plain = filled(make, key_heads, lengths, generator)
    chosen = {20: [0, 1, 3], 50: [2, 0, 2]}
    for step in range(2 * SPARE_SLOTS + 6):
        if rows := chosen.get(step):
            before, slots = slots, slots.select(torch.tensor(rows))
            before.open()  # what is done to the one does nothing to the other
            before.attend(0, *_other(before, generator))
            plain = Plain([list(plain.rows[row]) for row in rows])
        slots.open()
        for layer in range(LAYERS):
            n = len(plain.rows)
            q = drawn(generator, n, QUERY_HEADS, WIDTH)
            new = pair(generator, n, key_heads, WIDTH)
            found = slots.attend(layer, q, new, SCALE)
            for row, of_row in enumerate(plain.rows):
                keys, values = of_row[layer]
                of_row[layer] = (
                    torch.cat([keys, new[0][row][None]]),
                    torch.cat([values, new[1][row][None]]),
                )
                wanted = plain.attend(layer, row, q[row])
                assert torch.allclose(found[row].double(), wanted, atol=2e-6)


def _other(
    slots: ContiguousSlots | AllocatedSlots, generator: torch.Generator
) -> tuple[torch.Tensor, Pair, float]:
    """A step with large numbers, for rows that were left behind."""
    if isinstance(slots, ContiguousSlots):
        rows, heads = len(slots.older[0][0]) // slots.key_heads, slots.key_heads
    else:
        rows, heads = slots.keys[0].shape[:2]
    large = 100 * drawn(generator, rows, heads, WIDTH)
    return drawn(generator, rows, QUERY_HEADS, WIDTH), (large, large), SCALE


def test_older_slots_are_contiguous_and_blocks_are_appended() -> None:
    slots, _ = filled(contiguous, 2, LENGTHS, torch.Generator().manual_seed(0))
    assert isinstance(slots, ContiguousSlots)
    for steps, older in ((SPARE_SLOTS, 7), (1, 7 + SPARE_SLOTS)):
        for _ in range(steps):
            slots.open()
        for pair in slots.older:
            assert all(x.shape == (8, older, WIDTH) and x.is_contiguous() for x in pair)
    assert slots.filled == 1
