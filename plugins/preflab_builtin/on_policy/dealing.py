"""How the rows of a rollout are dealt to optimizer steps and to forward passes."""

from __future__ import annotations

from collections.abc import Sequence

from preflab.records import Rollout
from preflab.runtime import Runtime, StandIn


def minibatches(rollout: Rollout, order: Sequence[int], width: int, size: int) -> list[list[int]]:
    """Rows of each optimizer step, ordered by length. order: of the units of ``width`` rows that
    belong together, which stay one behind another in the place of the longest; size: units in a
    step."""
    place = {row: at for at, row in enumerate(rollout.by_length())}
    units = [range(number * width, (number + 1) * width) for number in order]
    dealt = (units[i : i + size] for i in range(0, len(units), size))
    ordered = (sorted(part, key=lambda unit: max(place[i] for i in unit)) for part in dealt)
    return [[row for unit in part for row in unit] for part in ordered]


def micro_batches(minibatch: Sequence[int], width: int, runtime: Runtime) -> list[Sequence[int]]:
    """This process's rows of a minibatch in pieces; units of ``width`` rows are not divided."""
    units = [minibatch[i : i + width] for i in range(0, len(minibatch), width)]
    size = max(1, runtime.micro_batch // width)
    pieces = runtime.passes(units, size)
    return [
        (StandIn if isinstance(piece, StandIn) else list)(row for unit in piece for row in unit)
        for piece in pieces
    ]
