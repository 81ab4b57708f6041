"""What a folder with several heads says of them in preflab.json. Their names are in config.json
too, where transformers reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab import UserError


@dataclass(frozen=True)
class Heads:
    """Names of the heads, what is subtracted from the raw score of each, and the share of each in
    what the model was trained on."""

    names: tuple[str, ...]
    offsets: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def even(cls, names: Sequence[str]) -> Heads:
        """Offsets 0 and equal shares."""
        n = len(names)
        return cls(tuple(names), (0.0,) * n, (1 / n,) * n)

    @classmethod
    def read(cls, facts: Mapping[str, Any], folder: Path) -> Heads:
        """From the content of preflab.json; `UserError` if it tells of no heads."""
        heads = facts.get("heads")
        if not heads:
            raise UserError(
                f"{folder} has no heads of groups: it was not trained by reward_model=kwise_groups."
            )
        names, *numbers = zip(*((h["name"], h["offset"], h["share"]) for h in heads), strict=True)
        offsets, shares = (tuple(map(float, column)) for column in numbers)
        return cls(tuple(map(str, names)), offsets, shares)

    def facts(self) -> dict[str, Any]:
        """For preflab.json."""
        rows = zip(self.names, self.offsets, self.shares, strict=True)
        return {"heads": [dict(zip(("name", "offset", "share"), row, strict=True)) for row in rows]}
