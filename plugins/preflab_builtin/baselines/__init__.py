"""What algorithms are compared with: best-of-n picks by reward, steered decodes by a class,
terms_only trains on gradient terms alone."""

from __future__ import annotations

from preflab import Component, hookimpl
from preflab.components import keeps_none


@hookimpl
def preflab_components() -> list[Component]:
    """The baselines."""
    from preflab_builtin.baselines.config import BestOfNConfig, SteeredConfig, TermsOnlyConfig

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
            "steered",
            SteeredConfig,
            build="preflab_builtin.baselines.steered:steered",
            inspect="preflab_builtin.baselines.steered:inspect",
            preflight="preflab_builtin.baselines.steered:preflight",
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
