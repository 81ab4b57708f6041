"""Log-probabilities of tokens under a policy, as its training computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from preflab.interfaces import Policy
    from preflab.runtime import Runtime

ROWS, POSITIONS = 16, 256
"""Rows that are read at a time, and positions whose V log-probabilities are in memory."""


@dataclass(frozen=True)
class Scored:
    """A token: its log-probability in nats under the model itself (temperature 1), and the
    likeliest tokens in its place with theirs, the likeliest first."""

    token: int
    log_prob: float
    top: tuple[tuple[int, float], ...] = ()


def scored(
    policy: Policy,
    runtime: Runtime,
    rows: Sequence[tuple[Sequence[int], int]],
    top: int,
    told: Callable[[int], None] = lambda tokens: None,
) -> list[list[Scored]]:
    """The tokens of each row from a position on. rows: token ids, and the position, at least 1: the
    first token of a row has nothing that it follows. top: how many of the likeliest tokens. told:
    hears how many tokens are read next; what it raises ends the work."""
    done: list[list[Scored]] = []
    for start in range(0, len(rows), ROWS):
        piece = rows[start : start + ROWS]
        told(sum(len(ids) for ids, _ in piece))
        done += _read(policy, runtime, piece, top)
    return done


def _read(
    policy: Policy, runtime: Runtime, rows: Sequence[tuple[Sequence[int], int]], top: int
) -> list[list[Scored]]:
    import torch

    from preflab_builtin.rollouts.prompts import left_padded

    ids, mask = left_padded([row for row, _ in rows], policy.tokenizer.pad_id, runtime.device)
    width = ids.shape[1]
    wanted = torch.zeros_like(mask)
    for i, (row, first) in enumerate(rows):
        wanted[i, width - len(row) + first - 1 : width - 1] = True
    following = [token for row, first in rows for token in row[first:]]
    found: list[Scored] = []
    with torch.inference_mode(), runtime.autocast():
        hidden = policy.hidden_at(ids, mask, wanted)
        for start in range(0, len(following), POSITIONS):
            piece = following[start : start + POSITIONS]
            log_probs = policy.logits(hidden[start : start + POSITIONS]).log_softmax(-1)
            best = log_probs.topk(min(top, log_probs.shape[-1]), dim=-1)
            chosen = log_probs.gather(1, torch.tensor(piece, device=runtime.device)[:, None])
            tops = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            for token, value, (likely, theirs) in zip(
                piece, chosen[:, 0].tolist(), tops, strict=True
            ):
                found.append(Scored(token, value, tuple(zip(likely, theirs, strict=True))))
    remaining = iter(found)
    return [[next(remaining) for _ in row[first:]] for row, first in rows]
