"""PPO-ptx: pretraining gradients mixed into an algorithm's update."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab_builtin.ptx.config import PtxConfig


@hookimpl
def preflab_components() -> list[Component]:
    """The gradient term."""
    from preflab_builtin.ptx.config import PtxConfig

    build = "preflab_builtin.ptx.term:PtxTerm"
    preflight = "preflab_builtin.ptx.preflight:preflight"
    return [
        Component("gradient_term", "ptx", PtxConfig, build, needs=_needs, preflight=preflight),
    ]


def _needs(config: PtxConfig) -> tuple[str, ...]:
    return ("documents",) if config.coef else ()
