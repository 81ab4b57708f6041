"""The cache of transformers' own forward pass. Shapes: B rows, S slots."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import DynamicCache


@dataclass
class KeyValueCache:
    """transformers' keys and values of the tokens read so far (`preflab.interfaces.Cache`).

    mask [B, S]: real tokens among the slots read; positions [B, 1]: of the next token; padded:
    whether any slot is a pad.
    """

    past: DynamicCache
    mask: torch.Tensor
    positions: torch.Tensor
    padded: bool

    @property
    def tokens(self) -> int:
        """Real tokens of all rows."""
        return int(self.positions.sum())

    def select(self, rows: torch.Tensor) -> KeyValueCache:
        """The cache of the chosen rows [B'] (repeats allowed), in that order; this one is
        unchanged."""
        past: Any = copy.copy(self.past)
        past.layers = [copy.copy(layer) for layer in self.past.layers]
        for layer in past.layers:
            layer.keys = layer.keys.index_select(0, rows)
            layer.values = layer.values.index_select(0, rows)
        mask, positions = self.mask.index_select(0, rows), self.positions.index_select(0, rows)
        return replace(self, past=past, mask=mask, positions=positions)
