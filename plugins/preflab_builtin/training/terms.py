"""What the gradient terms of an algorithm add to memory and arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from preflab.memory import Load


def with_terms(own: Load, terms: Mapping[str, Any], episodes: int, updates: int) -> Load:
    """The load of an algorithm with that of its terms (`preflab.memory.Load`). episodes: of an
    optimizer step; updates: optimizer steps in a step of the stage.

    A term says by a method ``load(episodes, updates)`` of its config what it reads; one without it
    reads the rows of the batch, as the algorithm's own pass does.
    """
    batch = Load(1, own.rows, own.tokens, passes=3, scored=own.scored, batch=own.rows * updates)
    used = [term for term in terms.values() if term.coef != 0]
    loads = (t.load(episodes, updates) if hasattr(t, "load") else batch for t in used)
    return replace(own, terms=tuple(loads))
