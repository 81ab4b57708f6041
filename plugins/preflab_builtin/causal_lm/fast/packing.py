"""Batches without pads: all real tokens of all rows one after another, and attention over them.

Everything in a transformer but attention works on tokens one by one, so pads need not be computed
at all. Attention lays the tokens out in grids [rows, longest row] and takes them back. Rows that
begin with the same tokens (the K completions of a prompt) may share them: these are read once, and
the rest of each row attends to them. Shapes: B rows, T slots, N tokens, W wanted tokens, H heads,
G heads of keys and values, d width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from preflab_builtin.causal_lm.fast.kernels import applied

TRIM_BELOW = 0.75
"""Share of wanted tokens below which the last layer computes only these: above it, laying them out
costs more than it saves."""
MOST_PADS = 0.25
"""Largest share of pads in a grid of rows; with more, rows of similar length get grids of their
own."""
MOST_SLOTS = 4
"""Slots per real token above which prompts are not shared: one long row among short ones widens the
grid of all."""


class _Spread(torch.autograd.Function):
    """tokens [N, ...] -> [slots, ...] with token i in slot at[i] (all different), zeros
    elsewhere."""

    @staticmethod
    def forward(ctx: Any, tokens: torch.Tensor, at: torch.Tensor, slots: int) -> torch.Tensor:
        ctx.save_for_backward(at)
        return tokens.new_zeros(slots, *tokens.shape[1:]).index_copy_(0, at, tokens)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (at,) = ctx.saved_tensors
        return gradients[0].index_select(0, at), None, None


class _Collect(torch.autograd.Function):
    """slots [S, ...] -> [N, ...], the tokens in the slots ``at`` (all different)."""

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
    """Where tokens are in a grid [rows, width]: those of a row are consecutive and fill its slots
    from the left.

    at [N]: slot of each token, row * width + place; None if all rows are full: the grid is then
    only another view of the tokens.
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
        """tokens [N, heads, d] -> [rows, heads, width, d], zeros in empty slots."""
        if self.at is not None:
            tokens = applied(_Spread, tokens, self.at, self.rows * self.width)
        return tokens.view(self.rows, self.width, *tokens.shape[1:]).transpose(1, 2)

    def collect(self, grid: torch.Tensor) -> torch.Tensor:
        """grid [rows, heads, width, d] -> tokens [N, heads * d]."""
        flat = grid.transpose(1, 2).reshape(self.rows * self.width, -1)
        return flat if self.at is None else applied(_Collect, flat, self.at)

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
    """q [B, H, W, d], k and v [B, G, S, d] -> [B, H, W, d]. mask [B or 1, 1, W, S] bool: which
    query attends to which key; None: causal, W = S. With G < H each head of keys serves H / G
    queries."""
    grouped = q.shape[1] != k.shape[1]
    out: torch.Tensor = scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=grouped
    )
    return out


@dataclass(frozen=True)
class Rows:
    """Tokens of B rows, row by row. ids [N], positions [N]; wanted [W]: indices of the tokens whose
    hidden states are asked for.

    grids: of consecutive rows of similar length, each with its number of tokens. grid: of all rows.
    wanted_grid: of the wanted tokens of all rows, if the last layer is to compute only these.
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
        groups = torch.split(lengths, similar_lengths(lengths.tolist()))
        grids = tuple((Grid.of(group), int(group.sum())) for group in groups)
        counts, indices = wanted.sum(1), wanted[mask].nonzero().squeeze(1)
        trim = len(indices) < TRIM_BELOW * int(mask.sum()) and bool((counts > 0).all())
        wanted_grid = Grid.of(counts) if trim else None
        return Rows(ids[mask], grid.places(ids.device), grids, grid, indices, wanted_grid)

    def attend(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """q [N, H, d], k, v [N, G, d] -> [N, H * d]."""
        sizes = [tokens for _, tokens in self.grids]
        attended = []
        pieces = zip(*(torch.split(x, sizes) for x in (q, k, v)), strict=True)
        for (grid, _), (a, b, c) in zip(self.grids, pieces, strict=True):
            out = attention(grid.spread(a), grid.spread(b), grid.spread(c), scale)
            attended.append(grid.collect(out))
        return attended[0] if len(attended) == 1 else torch.cat(attended)

    def attend_wanted(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """q [W, H, d] of the wanted tokens, k, v [N, G, d] -> [W, H * d]."""
        assert self.wanted_grid is not None
        places = self.positions.index_select(0, self.wanted)
        mask = _up_to(self.wanted_grid, places, self.grid.width)
        keys, values = self.grid.spread(k), self.grid.spread(v)
        out = attention(self.wanted_grid.spread(q), keys, values, scale, mask)
        return self.wanted_grid.collect(out)


def similar_lengths(lengths: Sequence[int]) -> list[int]:
    """Sizes of consecutive groups of rows: a group ends where one more row would make more than a
    quarter of its grid pads."""
    sizes, longest, total = [0], 0, 0
    for length in lengths:
        longest, total = max(longest, length), total + length
        if sizes[-1] and (sizes[-1] + 1) * longest > total / (1 - MOST_PADS):
            sizes.append(0)
            longest = total = length
        sizes[-1] += 1
    return sizes


def _up_to(grid: Grid, places: torch.Tensor, width: int) -> torch.Tensor:
    """[B or 1, 1, W, width] bool: a query at a place sees the places up to its own. One mask for
    all rows if their places are the same."""
    if grid.at is None:
        last = places.view(grid.rows, grid.width)
        last = last[:1] if bool((last == last[:1]).all()) else last
    else:
        slots = places.new_zeros(grid.rows * grid.width).index_copy_(0, grid.at, places)
        last = slots.view(grid.rows, grid.width)
    return (torch.arange(width, device=places.device) <= last[..., None])[:, None]


@dataclass(frozen=True)
class SharedRows:
    """Tokens of rows that share their beginnings: first the tokens of the P' different prefixes,
    then the rest of each row.

    prefix, rest: their grids (P and R wide). prefix_of [B]: number of each row's prefix.
    mask [B, 1, R, P + R] bool: what the rest of a row sees of its prefix and of itself.
    split: number of tokens of all prefixes. wanted [W]: indices of tokens; one of a prefix may be
    wanted by several rows. wanted_grid, wanted_mask: as grid and mask, of the wanted tokens, if the
    last layer is to compute only these.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    prefix: Grid
    rest: Grid
    prefix_of: torch.Tensor
    mask: torch.Tensor
    split: int
    wanted: torch.Tensor
    wanted_grid: Grid | None
    wanted_mask: torch.Tensor | None

    def attend(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """q [N, H, d], k, v [N, G, d] -> [N, H * d]."""
        n = self.split
        prefix_k, prefix_v = self.prefix.spread(k[:n]), self.prefix.spread(v[:n])
        first = attention(self.prefix.spread(q[:n]), prefix_k, prefix_v, scale)
        first = self.prefix.collect(first)
        keys, values = self._with_prefix(prefix_k, k[n:]), self._with_prefix(prefix_v, v[n:])
        rest = attention(self.rest.spread(q[n:]), keys, values, scale, self.mask)
        return torch.cat([first, self.rest.collect(rest)])

    def attend_wanted(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """q [W, H, d] of the wanted tokens, all after a prefix -> [W, H * d]."""
        assert self.wanted_grid is not None
        n = self.split
        keys, values = (self._with_prefix(self.prefix.spread(x[:n]), x[n:]) for x in (k, v))
        out = attention(self.wanted_grid.spread(q), keys, values, scale, self.wanted_mask)
        return self.wanted_grid.collect(out)

    def _with_prefix(self, prefix: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
        """prefix [P', G, P, d] and rest [N', G, d] -> [B, G, P + R, d]."""
        return torch.cat([prefix.index_select(0, self.prefix_of), self.rest.spread(rest)], dim=2)


def with_shared_prefixes(
    ids: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor, prefix_width: int
) -> SharedRows | None:
    """The batch [B, T] with equal first ``prefix_width`` columns read once; None if that would save
    nothing, or if a row has nothing after its prefix."""
    if len(ids) < 2 or not 0 < prefix_width < ids.shape[1]:
        return None
    if not bool(mask[:, prefix_width:].any(1).all()):
        return None
    marked = torch.where(mask[:, :prefix_width], ids[:, :prefix_width], -1)
    number_of: dict[tuple[int, ...], int] = {}
    numbers = [number_of.setdefault(tuple(row), len(number_of)) for row in marked.tolist()]
    if len(number_of) == len(ids) or mask.numel() > MOST_SLOTS * int(mask.sum()):
        return None
    first_rows = [numbers.index(i) for i in range(len(number_of))]
    return _shared_rows(ids, mask, wanted, prefix_width, numbers, first_rows)


def _shared_rows(
    ids: torch.Tensor,
    mask: torch.Tensor,
    wanted: torch.Tensor,
    prefix_width: int,
    numbers: Sequence[int],
    first_rows: Sequence[int],
) -> SharedRows:
    """numbers [B]: prefix of each row; first_rows [P']: a row with each prefix."""
    device = ids.device
    prefix_of = torch.tensor(numbers, device=device)
    first = torch.tensor(first_rows, device=device)
    prefix_mask, rest_mask = mask[first, :prefix_width], mask[:, prefix_width:]
    prefix, rest = Grid.of(prefix_mask.sum(1)), Grid.of(rest_mask.sum(1))
    lengths = prefix_mask.sum(1)[prefix_of]
    split = int(prefix_mask.sum())
    places = rest.places(device)
    row_of = torch.arange(len(ids), device=device).repeat_interleave(rest_mask.sum(1))
    # Index of every [B, T] slot among the packed tokens: rows find their prefix at its one place.
    index = torch.zeros(mask.shape, dtype=torch.long, device=device)
    starts = torch.cat([lengths.new_zeros(1), prefix_mask.sum(1).cumsum(0)[:-1]])[prefix_of]
    index[:, :prefix_width] = starts[:, None] + mask[:, :prefix_width].long().cumsum(1) - 1
    index[:, prefix_width:][rest_mask] = split + torch.arange(len(places), device=device)
    sees_prefix = torch.arange(prefix.width, device=device)[None, :] < lengths[:, None]
    sees_rest = torch.ones(rest.width, rest.width, dtype=torch.bool, device=device).tril()
    rest_sees = [
        sees_prefix[:, None, :].expand(-1, rest.width, -1),
        sees_rest.expand(len(ids), -1, -1),
    ]
    counts = wanted[:, prefix_width:].sum(1)
    behind_prefixes = not bool(wanted[:, :prefix_width].any()) and bool((counts > 0).all())
    wanted_grid = wanted_mask = None
    if behind_prefixes and int(counts.sum()) < TRIM_BELOW * len(places):
        wanted_grid = Grid.of(counts)
        wanted_places = places[wanted[:, prefix_width:][rest_mask]]
        own = _up_to(wanted_grid, wanted_places, rest.width).expand(len(ids), -1, -1, -1)
        of_prefix = sees_prefix[:, None, None, :].expand(-1, -1, wanted_grid.width, -1)
        wanted_mask = torch.cat([of_prefix, own], dim=3)
    return SharedRows(
        ids=torch.cat([ids[first, :prefix_width][prefix_mask], ids[:, prefix_width:][rest_mask]]),
        positions=torch.cat([prefix.places(device), places + lengths[row_of]]),
        prefix=prefix,
        rest=rest,
        prefix_of=prefix_of,
        mask=torch.cat(rest_sees, dim=2)[:, None],
        split=split,
        wanted=index[wanted],
        wanted_grid=wanted_grid,
        wanted_mask=wanted_mask,
    )
