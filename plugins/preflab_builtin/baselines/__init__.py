"""Algorithms that train nothing: none stops at SFT, best-of-n picks by reward."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.baselines.best_of_n import BestOfN
    from preflab_builtin.baselines.config import BestOfNConfig


@hookimpl
def preflab_components() -> list[Component]:
    """Both baselines."""
    from preflab_builtin.baselines.config import BestOfNConfig, NoAlgorithmConfig

    return [
        Component("algorithm", "none", NoAlgorithmConfig),
        Component("algorithm", "best_of_n", BestOfNConfig, build=_best_of_n, needs=lambda config: ("reward_model",)),
    ]


def _best_of_n(config: BestOfNConfig, context: Context) -> BestOfN:
    from preflab_builtin.baselines.best_of_n import BestOfN

    return BestOfN(config.n, context.policy("initial"), context.rollout(), context.reward_model())
