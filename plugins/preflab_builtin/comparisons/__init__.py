"""Comparisons: people rank the responses of the pool (InstructGPT 3.2, 3.5)."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The stage."""
    from preflab_builtin.comparisons.config import RankedConfig

    return [
        Component(
            "comparisons",
            "ranked",
            RankedConfig,
            procedure="preflab_builtin.comparisons.ranking:Ranked",
            needs=("samples", "labeler"),
        )
    ]
