"""Learning from ranked pairs without a reward model and without sampling: DPO, IPO, KTO,
SimPO."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The algorithm; its presets are the published ones."""
    from preflab_builtin.preference.config import PreferenceConfig
    from preflab_builtin.training.config import EVALUATORS

    return [
        Component(
            "algorithm",
            "preference",
            PreferenceConfig,
            procedure="preflab_builtin.preference.training:Preference",
            needs=PreferenceConfig.needs,
            nested={"terms": "gradient_term", **EVALUATORS},
            inspect="preflab_builtin.training.continuing:inspect",
            preflight="preflab_builtin.preference.preflight:preflight",
            checkpoint="preflab_builtin.training.checkpoints:checkpoint",
        )
    ]
