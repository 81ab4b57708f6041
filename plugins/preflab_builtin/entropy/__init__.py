"""An entropy bonus: a gradient term of the responses that were sampled."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The gradient term."""
    from preflab_builtin.entropy.config import EntropyConfig

    build = "preflab_builtin.entropy.term:EntropyBonus"
    return [Component("gradient_term", "entropy", EntropyConfig, build)]
