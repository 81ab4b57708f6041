"""Comparisons: sample K responses per prompt and have people rank them (InstructGPT 3.2, 3.5)."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The stage."""
    from preflab_builtin.comparisons.config import SampledConfig

    return [
        Component(
            "comparisons",
            "sampled",
            SampledConfig,
            procedure="preflab_builtin.comparisons.sampling:SampledComparisons",
            needs=("prompts", "labeler"),
            preflight="preflab_builtin.comparisons.sampling:preflight",
        )
    ]
