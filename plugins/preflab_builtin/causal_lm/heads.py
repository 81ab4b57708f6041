"""What a folder with several heads says of them in preflab.json. Their names are in config.json
too, where transformers reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab import UserError


@dataclass(frozen=True)
class Heads:
    """Names of the heads, what is subtracted from the raw score of each, the share of each in what
    the model was trained on, and its standard deviation over the responses to one prompt (nan: not
    measured)."""

    names: tuple[str, ...]
    offsets: tuple[float, ...]
    shares: tuple[float, ...]
    spreads: tuple[float, ...]

    @classmethod
    def even(cls, names: Sequence[str]) -> Heads:
        """Offsets 0 and equal shares."""
        n = len(names)
        return cls(tuple(names), (0.0,) * n, (1 / n,) * n, (math.nan,) * n)

    @classmethod
    def read(cls, facts: Mapping[str, Any], folder: Path) -> Heads:
        """From the content of preflab.json; `UserError` if it tells of no heads."""
        heads = facts.get("heads")
        if not heads:
            raise UserError(
                f"{folder} has no heads of groups: it was not trained by reward_model=kwise_groups."
            )
        numbers = [(h["offset"], h["share"], h.get("spread")) for h in heads]
        offsets, shares, spreads = (
            tuple(math.nan if n is None else float(n) for n in column)
            for column in zip(*numbers, strict=True)
        )
        return cls(tuple(str(head["name"]) for head in heads), offsets, shares, spreads)

    def facts(self) -> dict[str, Any]:
        """For preflab.json."""
        spreads = (None if math.isnan(spread) else spread for spread in self.spreads)
        rows = zip(self.names, self.offsets, self.shares, spreads, strict=True)
        keys = ("name", "offset", "share", "spread")
        return {"heads": [dict(zip(keys, row, strict=True)) for row in rows]}
