"""Learning from ranked pairs without a reward model and without sampling: DPO, IPO, KTO,
SimPO."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The algorithm; its presets are the published ones."""
    from preflab_builtin.preference.config import PreferenceConfig

    return [
        Component(
            "algorithm",
            "preference",
            PreferenceConfig,
            procedure="preflab_builtin.preference.training:Preference",
            needs=("rankings",),
            nested={"terms": "gradient_term"},
            preflight="preflab_builtin.preference.preflight:preflight",
        )
    ]
