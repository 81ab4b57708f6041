"""Samples: K responses of the SFT policy to each prompt, a pool that is made once and that people
rank (InstructGPT 3.2, 3.5)."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The stage."""
    from preflab_builtin.samples.config import SampledConfig

    return [
        Component(
            "samples",
            "sampled",
            SampledConfig,
            procedure="preflab_builtin.samples.sampling:Sampled",
            needs=("prompts",),
            inspect="preflab_builtin.samples.others:inspect",
            preflight="preflab_builtin.samples.sampling:preflight",
        )
    ]
