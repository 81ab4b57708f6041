"""PPO-ptx: pretraining gradients mixed into an algorithm's update, and the pretraining stream that serves all stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.ptx.config import PtxConfig
    from preflab_builtin.ptx.term import PtxTerm


@hookimpl
def preflab_components() -> list[Component]:
    """The gradient term."""
    from preflab_builtin.ptx.config import PtxConfig

    return [Component("gradient_term", "ptx", PtxConfig, build=_term, needs=_needs)]


def _term(config: PtxConfig, context: Context) -> PtxTerm:
    from preflab_builtin.ptx.term import PtxTerm

    return PtxTerm(config, context)


def _needs(config: PtxConfig) -> tuple[str, ...]:
    return ("documents",) if config.coef else ()
