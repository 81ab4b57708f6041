"""What algorithms are compared with: best-of-n picks by reward, terms_only trains on gradient terms
alone."""

from __future__ import annotations

from preflab import Component, hookimpl
from preflab.components import keeps_none


@hookimpl
def preflab_components() -> list[Component]:
    """The baselines."""
    from preflab_builtin.baselines.config import BestOfNConfig, TermsOnlyConfig

    return [
        Component(
            "algorithm",
            "best_of_n",
            BestOfNConfig,
            build="preflab_builtin.baselines.best_of_n:best_of_n",
            needs=("reward_model",),
        ),
        Component(
            "algorithm",
            "terms_only",
            TermsOnlyConfig,
            procedure="preflab_builtin.baselines.terms_only:TermsOnly",
            nested={"terms": "gradient_term"},
            checkpoint=keeps_none,
        ),
    ]
