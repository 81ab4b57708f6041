"""Comparisons: sample K responses a prompt and have people rank them (InstructGPT 3.2, 3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.comparisons.config import SampledConfig
    from preflab_builtin.comparisons.sampling import SampledComparisons


@hookimpl
def preflab_components() -> list[Component]:
    """The stage, its absence, and nobody as a labeler."""
    from preflab_builtin.comparisons.config import (
        NoComparisonsConfig,
        NoLabelerConfig,
        SampledConfig,
    )

    return [
        Component(
            "comparisons",
            "sampled",
            SampledConfig,
            procedure=_sampled,
            needs=lambda config: ("prompts", "labeler"),
        ),
        Component("comparisons", "none", NoComparisonsConfig),
        Component("labeler", "none", NoLabelerConfig),
    ]


def _sampled(config: SampledConfig, context: Context) -> SampledComparisons:
    from preflab_builtin.comparisons.sampling import SampledComparisons

    return SampledComparisons(config, context)
