"""Learning from pairs without a reward network: DPO, and a reward model that counts words."""

from __future__ import annotations

from preflab import Component, hookimpl

from preflab_pairs.config import BagOfWordsConfig, DPOConfig

PREFLAB_API = 1


@hookimpl
def preflab_components() -> list[Component]:
    """An algorithm and a reward model."""
    return [
        Component(
            "algorithm",
            "dpo",
            DPOConfig,
            procedure="preflab_pairs.dpo:DPO",
            needs=("rankings",),
        ),
        Component(
            "reward_model",
            "bag_of_words",
            BagOfWordsConfig,
            build="preflab_pairs.bag_of_words:read",
            procedure="preflab_pairs.bag_of_words:Fitting",
            needs=("rankings",),
        ),
    ]


@hookimpl
def preflab_config_packages() -> list[str]:
    """Where the YAML presets are."""
    return ["preflab_pairs.conf"]
