"""The pretraining stream: full windows of tokens, each a pure function of the stream's name and its
number.

Pretraining, SFT's pretraining mix and the ptx term all draw from it, each under its own name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch

from preflab.errors import UserError
from preflab.interfaces import Policy, Tokenizer
from preflab.randomness import derive_seed, permutation
from preflab.records import Document
from preflab_builtin.causal_lm.losses import nll_sum


class PretrainingStream:
    """Windows of exactly ``window`` tokens, without padding.

    In each epoch the documents, each followed by the end token, are put one behind another in a new
    order and cut into windows, which are drawn in a new order too (a corpus may be one long
    document). The tokens that do not fill a window, fewer than ``window`` an epoch, are left out,
    at the front as well as at the back, at a place that changes."""

    def __init__(
        self, documents: Sequence[Document], tokenizer: Tokenizer, window: int, *name: int | str
    ) -> None:
        pieces = [
            torch.tensor(tokenizer.encode_document(d.text), dtype=torch.int32) for d in documents
        ]
        self.pieces, self.window, self.name = pieces, window, name
        self.size = sum(len(piece) for piece in pieces)
        """Tokens of an epoch, end tokens included."""
        if self.size < window:
            raise UserError(
                f"The documents hold {self.size} tokens, fewer than one window of {window}. Lower "
                "the window or give more text."
            )
        self.windows_per_epoch = self.size // window
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    def accounting(self) -> dict[str, float]:
        """Documents, their tokens (an end token each), and how many of these an epoch leaves
        out."""
        left_out = self.size - self.windows_per_epoch * self.window
        return {
            "documents": len(self.pieces),
            "tokens": self.size,
            "tokens left out per epoch": left_out,
        }

    def draw(self, start: int, count: int) -> torch.Tensor:
        """Windows number start .. start+count-1 of the endless stream: token ids [count, window],
        on the CPU."""
        return self.pick(range(start, start + count))

    def pick(self, numbers: Sequence[int]) -> torch.Tensor:
        """The windows of the given numbers: token ids [len(numbers), window]."""
        rows = [self._window(number) for number in numbers]
        return torch.stack(rows).long() if rows else torch.empty(0, self.window, dtype=torch.long)

    def _window(self, number: int) -> torch.Tensor:
        epoch, place = divmod(number, self.windows_per_epoch)
        return self._epoch(epoch)[place]

    def _make_epoch(self, epoch: int) -> torch.Tensor:
        """All windows of an epoch in the order of drawing, int32 [windows_per_epoch, window]."""
        tokens = torch.cat(
            [self.pieces[i] for i in permutation(len(self.pieces), *self.name, "documents", epoch)]
        )
        spare = self.size - self.windows_per_epoch * self.window
        first = derive_seed(*self.name, "offset", epoch) % (spare + 1)
        windows = tokens[first : first + self.windows_per_epoch * self.window].reshape(
            -1, self.window
        )
        order = permutation(self.windows_per_epoch, *self.name, "windows", epoch)
        return windows[torch.tensor(order)]


def window_nll(policy: Policy, windows: torch.Tensor) -> torch.Tensor:
    """windows [B, window] -> summed negative log-likelihood of their B * (window - 1) predicted
    tokens."""
    everything = torch.ones_like(windows, dtype=torch.bool)
    return nll_sum(policy, windows, everything, everything)


def targets_in(windows: int, window: int) -> int:
    """Predicted tokens in a number of windows: nothing predicts a window's first token."""
    return windows * (window - 1)
