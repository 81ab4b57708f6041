"""Batches without pads: all real tokens of all rows one behind another, and attention over them.

Everything in a transformer but attention works on tokens one by one, so pads need not be computed at all. Attention lays
the tokens out in grids [rows, longest] and takes them back. Rows that begin with the same tokens (the K completions
of a prompt) may share them: these are read once, and the rest of each row attends to them.
Shapes: B rows, T slots, N tokens, W wanted tokens, H heads, G heads of keys and values, d width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from preflab_builtin.causal_lm.kernels import applied

TRIM_BELOW = 0.75
"""Share of wanted tokens below which the last layer computes these only: above it, laying them out costs more."""

MOST_PADS = 0.25
"""Largest share of pads in a grid of rows; with more, rows of unlike length are laid out in grids of their own."""
MOST_SLOTS = 4
"""Slots for each real token above which prompts are not shared: one long row among short ones widens the grid of all."""


class _Spread(torch.autograd.Function):
    """tokens [N, ...] -> [slots, ...] with token i at slot at[i] (all different) and zeros elsewhere."""

    @staticmethod
    def forward(ctx: Any, tokens: torch.Tensor, at: torch.Tensor, slots: int) -> torch.Tensor:
        ctx.save_for_backward(at)
        return tokens.new_zeros(slots, *tokens.shape[1:]).index_copy_(0, at, tokens)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (at,) = ctx.saved_tensors
        return gradients[0].index_select(0, at), None, None


class _Taken(torch.autograd.Function):
    """slots [S, ...] -> [N, ...], the tokens at the slots ``at`` (all different)."""

    @staticmethod
    def forward(ctx: Any, slots: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(at)
        ctx.slots = len(slots)
        return slots.index_select(0, at)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (at,) = ctx.saved_tensors
        gradient = gradients[0]
        return gradient.new_zeros(ctx.slots, *gradient.shape[1:]).index_copy_(0, at, gradient), None


@dataclass(frozen=True)
class Grid:
    """Where tokens stand in a grid [rows, width]: the tokens of a row are consecutive and fill its slots from the left.

    at [N]: slot of each token, row * width + place; None if the rows are full, when the grid is only another view.
    """

    rows: int
    width: int
    at: torch.Tensor | None

    @staticmethod
    def of(counts: torch.Tensor) -> Grid:
        """counts [rows]: tokens of each row."""
        width, rows = int(counts.max()), len(counts)
        full = torch.arange(width, device=counts.device)[None, :] < counts[:, None]
        return Grid(rows, width, None if bool(full.all()) else full.flatten().nonzero().squeeze(1))

    def spread(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens [N, heads, d] -> [rows, heads, width, d], zeros where no token stands."""
        if self.at is not None:
            tokens = applied(_Spread, tokens, self.at, self.rows * self.width)
        return tokens.view(self.rows, self.width, *tokens.shape[1:]).transpose(1, 2)

    def taken(self, grid: torch.Tensor) -> torch.Tensor:
        """grid [rows, heads, width, d] -> tokens [N, heads * d]."""
        flat = grid.transpose(1, 2).reshape(self.rows * self.width, -1)
        return flat if self.at is None else applied(_Taken, flat, self.at)

    def places(self, device: torch.device) -> torch.Tensor:
        """[N] place of each token in its row."""
        every = torch.arange(self.width, device=device).repeat(self.rows)
        return every if self.at is None else every.index_select(0, self.at)


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """q [B, H, W, d], k and v [B, G, S, d] -> [B, H, W, d]. mask [B or 1, 1, W, S] bool: who may look at whom; None: causal,
    W = S. With fewer heads of keys than of queries (G < H) each serves H / G queries."""
    shared = q.shape[1] != k.shape[1]
    out: torch.Tensor = scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=shared
    )
    return out


@dataclass(frozen=True)
class Rows:
    """Tokens of B rows, row by row. ids [N], positions [N]; wanted [W] indices of the tokens whose states are asked for.

    grids: of consecutive rows of like length, and how many tokens each holds; wanted_grid: of the wanted tokens of all rows,
    if the last layer is to compute these only, with ``grid`` of all tokens.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    grids: tuple[tuple[Grid, int], ...]
    grid: Grid
    wanted: torch.Tensor
    wanted_grid: Grid | None

    @staticmethod
    def of(ids: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor) -> Rows:
        """ids, mask, wanted [B, T] -> the real tokens, without pads. Wanted ones must be real."""
        lengths = mask.sum(1)
        grid = Grid.of(lengths)
        grids = tuple(
            (Grid.of(piece), int(piece.sum()))
            for piece in torch.split(lengths, alike(lengths.tolist()))
        )
        counts, where = wanted.sum(1), wanted[mask].nonzero().squeeze(1)
        trim = len(where) < TRIM_BELOW * int(mask.sum()) and bool((counts > 0).all())
        return Rows(
            ids[mask],
            grid.places(ids.device),
            grids,
            grid,
            where,
            Grid.of(counts) if trim else None,
        )

    def attend(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """q [N, H, d], k, v [N, G, d] -> [N, H * d]."""
        sizes = [tokens for _, tokens in self.grids]
        found = []
        pieces = zip(*(torch.split(x, sizes) for x in (q, k, v)), strict=True)
        for (grid, _), (a, b, c) in zip(self.grids, pieces, strict=True):
            found.append(
                grid.taken(attention(grid.spread(a), grid.spread(b), grid.spread(c), scale))
            )
        return found[0] if len(found) == 1 else torch.cat(found)

    def attend_wanted(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """q [W, H, d] of the wanted tokens, k, v [N, G, d] -> [W, H * d]."""
        assert self.wanted_grid is not None
        mask = _until(
            self.wanted_grid, self.positions.index_select(0, self.wanted), self.grid.width
        )
        found = attention(
            self.wanted_grid.spread(q), self.grid.spread(k), self.grid.spread(v), scale, mask
        )
        return self.wanted_grid.taken(found)


def alike(lengths: Sequence[int]) -> list[int]:
    """Sizes of consecutive groups of rows: a group ends where one more row would make it more than a quarter pads."""
    sizes, longest, total = [0], 0, 0
    for length in lengths:
        longest, total = max(longest, length), total + length
        if sizes[-1] and (sizes[-1] + 1) * longest > total / (1 - MOST_PADS):
            sizes.append(0)
            longest = total = length
        sizes[-1] += 1
    return sizes


def _until(grid: Grid, places: torch.Tensor, width: int) -> torch.Tensor:
    """[B or 1, 1, W, width] bool: the query at a place sees the places up to its own; one mask for all rows if they agree."""
    if grid.at is None:
        last = places.view(grid.rows, grid.width)
        last = last[:1] if bool((last == last[:1]).all()) else last
    else:
        last = (
            places.new_zeros(grid.rows * grid.width)
            .index_copy_(0, grid.at, places)
            .view(grid.rows, grid.width)
        )
    return (torch.arange(width, device=places.device) <= last[..., None])[:, None]


@dataclass(frozen=True)
class SharedRows:
    """Tokens of rows whose beginnings are shared: first the tokens of the G' different prefixes, then the rest of each row.

    prefix, rest: their grids. prefix_of [B]: number of each row's prefix. wanted [W]: indices of tokens; one of a prefix
    may be wanted by several rows.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    prefix: Grid
    rest: Grid
    prefix_of: torch.Tensor
    mask: torch.Tensor
    """[B, 1, R, P + R] bool: what the rest of a row sees of its prefix and of itself."""
    split: int
    wanted: torch.Tensor
    wanted_grid: Grid | None
    wanted_mask: torch.Tensor | None

    def attend(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """q [N, H, d], k, v [N, G, d] -> [N, H * d]."""
        n = self.split
        k_prefix, v_prefix = self.prefix.spread(k[:n]), self.prefix.spread(v[:n])
        first = self.prefix.taken(attention(self.prefix.spread(q[:n]), k_prefix, v_prefix, scale))
        rest = attention(
            self.rest.spread(q[n:]),
            self._both(k_prefix, k[n:]),
            self._both(v_prefix, v[n:]),
            scale,
            self.mask,
        )
        return torch.cat([first, self.rest.taken(rest)])

    def attend_wanted(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """q [W, H, d] of the wanted tokens, all behind a prefix -> [W, H * d]."""
        assert self.wanted_grid is not None
        n = self.split
        keys, values = (self._both(self.prefix.spread(x[:n]), x[n:]) for x in (k, v))
        return self.wanted_grid.taken(
            attention(self.wanted_grid.spread(q), keys, values, scale, self.wanted_mask)
        )

    def _both(self, prefix: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
        """prefix [G', G, P, d] and rest [N', G, d] -> [B, G, P + R, d]."""
        return torch.cat([prefix.index_select(0, self.prefix_of), self.rest.spread(rest)], dim=2)


def shared(
    ids: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor, prefix: int
) -> SharedRows | None:
    """The batch [B, T] with equal first ``prefix`` columns read once; None if that would save nothing, or if a row has
    nothing but its prefix."""
    if len(ids) < 2 or not 0 < prefix < ids.shape[1] or not bool(mask[:, prefix:].any(1).all()):
        return None
    marked = torch.where(mask[:, :prefix], ids[:, :prefix], -1)
    first_of: dict[tuple[int, ...], int] = {}
    numbers = [first_of.setdefault(tuple(row), len(first_of)) for row in marked.tolist()]
    if len(first_of) == len(ids) or mask.numel() > MOST_SLOTS * int(mask.sum()):
        return None
    firsts = [numbers.index(i) for i in range(len(first_of))]
    return _shared(ids, mask, wanted, prefix, numbers, firsts)


def _shared(
    ids: torch.Tensor,
    mask: torch.Tensor,
    wanted: torch.Tensor,
    prefix: int,
    numbers: Sequence[int],
    firsts: Sequence[int],
) -> SharedRows:
    device = ids.device
    prefix_of, one = torch.tensor(numbers, device=device), torch.tensor(firsts, device=device)
    head, tail = mask[one, :prefix], mask[:, prefix:]
    before, behind = Grid.of(head.sum(1)), Grid.of(tail.sum(1))
    lengths = head.sum(1)[prefix_of]
    split = int(head.sum())
    places = behind.places(device)
    row_of = torch.arange(len(ids), device=device).repeat_interleave(tail.sum(1))
    # Index of every [B, T] slot among the packed tokens: rows find their prefix at its one place.
    index = torch.zeros(mask.shape, dtype=torch.long, device=device)
    starts = torch.cat([lengths.new_zeros(1), head.sum(1).cumsum(0)[:-1]])[prefix_of]
    index[:, :prefix] = starts[:, None] + mask[:, :prefix].long().cumsum(1) - 1
    index[:, prefix:][tail] = split + torch.arange(len(places), device=device)
    seen = torch.arange(before.width, device=device)[None, :] < lengths[:, None]
    mine = torch.ones(behind.width, behind.width, dtype=torch.bool, device=device).tril()
    whole = torch.cat(
        [seen[:, None, :].expand(-1, behind.width, -1), mine.expand(len(ids), -1, -1)], dim=2
    )[:, None]
    counts = wanted[:, prefix:].sum(1)
    grid = wanted_mask = None
    if (
        not bool(wanted[:, :prefix].any())
        and bool((counts > 0).all())
        and int(counts.sum()) < TRIM_BELOW * len(places)
    ):
        grid = Grid.of(counts)
        chosen = places[wanted[:, prefix:][tail]]
        own = _until(grid, chosen, behind.width).expand(len(ids), -1, -1, -1)
        wanted_mask = torch.cat([seen[:, None, None, :].expand(-1, -1, grid.width, -1), own], dim=3)
    return SharedRows(
        ids=torch.cat([ids[one, :prefix][head], ids[:, prefix:][tail]]),
        positions=torch.cat([before.places(device), places + lengths[row_of]]),
        prefix=before,
        rest=behind,
        prefix_of=prefix_of,
        mask=whole,
        split=split,
        wanted=index[wanted],
        wanted_grid=grid,
        wanted_mask=wanted_mask,
    )
