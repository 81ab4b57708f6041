"""How an algorithm on the core is registered: what every one of them needs, holds and takes from
other runs."""

from __future__ import annotations

from preflab import Component
from preflab_builtin.on_policy.config import NESTED, OnPolicyConfig

PREFLIGHT = "preflab_builtin.on_policy.inputs:preflight"


def on_policy_component(
    name: str, config_class: type[OnPolicyConfig], procedure: str, preflight: str = PREFLIGHT
) -> Component:
    """The component of an algorithm. procedure: the place of a function of (config, context) that
    returns an `OnPolicy`; preflight: the place of the algorithm's own one, which yields from
    `preflab_builtin.on_policy.inputs.preflight` first."""
    return Component(
        "algorithm",
        name,
        config_class,
        procedure=procedure,
        needs=config_class.needs,
        nested=NESTED,
        inspect="preflab_builtin.on_policy.inputs:inspect",
        preflight=preflight,
        checkpoint="preflab_builtin.training.checkpoints:checkpoint",
    )
