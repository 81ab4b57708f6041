"""Decoding the responses of a batch token by token."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence

import torch

from preflab.interfaces import AskedRow, Cache, Policy
from preflab_builtin.rollouts.prompts import left_padded, up_to_end
from preflab_builtin.rollouts.sampling import draw, log_probs_of, row_noise

Within = Callable[[], contextlib.AbstractContextManager[None]]
"""What a model is called in, entered for each token: others may use it between two of them."""

COMPACT_AT = 0.25
"""Share of ended rows at which the batch is compacted: below it copying the cache costs more than
it saves."""

LOOK_EVERY = 16
"""Steps on a GPU between looks at which rows have ended."""


def decode_one(
    policy: Policy,
    prompt: tuple[torch.Tensor, torch.Tensor],
    noise: torch.Tensor,
    temperature: float,
    within: Within,
) -> Iterator[int]:
    """The tokens of one response as `decode` draws them, one by one, the end token included.

    prompt: ids [1, Q] and mask [1, Q]; noise [1, R]: R tokens at most.
    """
    with within():
        logits, cache = policy.prefill(*prompt)
    for step in range(noise.shape[1]):
        with within():
            drawn = draw(logits, noise[:, step], temperature)
        token = int(drawn)
        yield token
        if token in policy.tokenizer.end_ids or step + 1 == noise.shape[1]:
            return
        with within():
            logits, cache = policy.extend(drawn, cache)


class DecodedRows:
    """`preflab.interfaces.RowStream`: rows of several requests, each with its own seed and its own
    cap. A row leaves the batch when it has ended or was dropped."""

    def __init__(
        self,
        policy: Policy,
        rows: Sequence[AskedRow],
        temperature: float,
        device: torch.device,
        within: Within,
    ) -> None:
        self._policy, self._temperature, self._within = policy, temperature, within
        self._caps = [row.max_tokens for row in rows]
        self._noise = torch.zeros(len(rows), max(self._caps), dtype=torch.float64)
        for i, row in enumerate(rows):
            self._noise[i, : row.max_tokens] = row_noise(row.seed, [row.number], row.max_tokens)
        self._noise = self._noise.to(device)
        ids, mask = left_padded([row.prompt for row in rows], policy.tokenizer.pad_id, device)
        with within():
            self._logits, self._cache = policy.prefill(ids, mask)
        self._live = list(range(len(rows)))
        self._gone: set[int] = set()
        self._drawn: torch.Tensor | None = None
        self._step = 0

    def step(self) -> list[tuple[int, int]]:
        """The next token of every row that is still there."""
        with self._within():
            self._go_on()
            if not self._live:
                return []
            noise = self._noise[self._live, self._step]
            self._drawn = draw(self._logits, noise, self._temperature)
        ends, found = self._policy.tokenizer.end_ids, []
        for row, token in zip(self._live, self._drawn.tolist(), strict=True):
            found.append((row, token))
            if token in ends or self._step + 1 == self._caps[row]:
                self._gone.add(row)
        self._step += 1
        return found

    def drop(self, rows: Collection[int]) -> None:
        """These get no further tokens."""
        self._gone |= {*rows}

    def _go_on(self) -> None:
        """Leave out the rows that are gone, and read the token of each of the others."""
        stay = [place for place, row in enumerate(self._live) if row not in self._gone]
        if len(stay) < len(self._live):
            self._live = [self._live[place] for place in stay]
            if not stay:
                return
            places = torch.tensor(stay, device=self._logits.device)
            self._logits, self._cache = self._logits[places], self._cache.select(places)
            self._drawn = self._drawn[places] if self._drawn is not None else None
        if self._drawn is not None:
            self._logits, self._cache = self._policy.extend(self._drawn, self._cache)


def decode(
    policy: Policy,
    logits: torch.Tensor,
    cache: Cache,
    noise: torch.Tensor,
    temperature: float,
    log_probs: torch.Tensor | None = None,
) -> list[list[int]]:
    """Token lists of B responses, each cut after its first end token.

    logits [B, V] and cache: what `Policy.prefill` returned; noise [B, R]: R tokens at most;
    log_probs [B, R]: where those of the drawn tokens are written to, None: nowhere.
    """
    steps, end_ids = noise.shape[1], policy.tokenizer.end_ids
    ends = torch.tensor(sorted(end_ids), device=logits.device)
    tokens = torch.zeros(noise.shape, dtype=torch.long, device=logits.device)
    rows = torch.arange(len(noise), device=logits.device)
    live = torch.ones_like(rows, dtype=torch.bool)
    look_every = 1 if logits.device.type == "cpu" else LOOK_EVERY
    for step in range(steps):
        drawn = draw(logits, noise[rows, step], temperature)
        tokens[rows, step] = drawn
        if log_probs is not None:
            log_probs[rows, step] = log_probs_of(drawn, logits, temperature)
        live = live & ~torch.isin(drawn, ends)
        if step + 1 == steps:
            break
        # Asking a GPU how many rows are live means waiting for it. It is cheaper to decode some
        # steps beyond an end and to cut them off.
        live_rows = int(live.sum()) if step % look_every == 0 else len(rows)
        if live_rows == 0:
            break
        if live_rows <= (1 - COMPACT_AT) * len(rows):
            still = live.nonzero().squeeze(-1)
            rows, drawn, live, cache = rows[still], drawn[still], live[still], cache.select(still)
        logits, cache = policy.extend(drawn, cache)
    return [up_to_end(ids, end_ids) for ids in tokens.tolist()]
