"""What algorithms are compared with: none stops at SFT, best-of-n picks by reward, terms_only trains on gradient terms alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.baselines.best_of_n import BestOfN
    from preflab_builtin.baselines.config import BestOfNConfig, TermsOnlyConfig
    from preflab_builtin.baselines.terms_only import TermsOnly


@hookimpl
def preflab_components() -> list[Component]:
    """The baselines."""
    from preflab_builtin.baselines.config import BestOfNConfig, NoAlgorithmConfig, TermsOnlyConfig

    return [
        Component("algorithm", "none", NoAlgorithmConfig),
        Component(
            "algorithm",
            "best_of_n",
            BestOfNConfig,
            build=_best_of_n,
            needs=lambda config: ("reward_model",),
        ),
        Component(
            "algorithm",
            "terms_only",
            TermsOnlyConfig,
            procedure=_terms_only,
            nested={"terms": "gradient_term"},
        ),
    ]


def _best_of_n(config: BestOfNConfig, context: Context) -> BestOfN:
    from preflab_builtin.baselines.best_of_n import BestOfN

    return BestOfN(config.n, context.policy("initial"), context.rollout(), context.reward_model())


def _terms_only(config: TermsOnlyConfig, context: Context) -> TermsOnly:
    from preflab_builtin.baselines.terms_only import TermsOnly

    return TermsOnly(config, context)
