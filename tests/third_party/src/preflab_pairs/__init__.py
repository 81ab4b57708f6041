"""Learning from pairs without a reward network, and a stage that averages weights."""

from __future__ import annotations

from preflab import Component, hookimpl
from preflab.kinds import StageSpec
from preflab_builtin.on_policy.component import on_policy_component

from preflab_pairs.config import AverageConfig, BagOfWordsConfig, OnlineSLiCConfig, SLiCConfig

PREFLAB_API = 1


@hookimpl
def preflab_components() -> list[Component]:
    """Two algorithms, a reward model, and what makes the stage below."""
    return [
        Component(
            "algorithm",
            "slic",
            SLiCConfig,
            procedure="preflab_pairs.slic:SLiC",
            needs=("rankings",),
        ),
        on_policy_component(
            "online_slic", OnlineSLiCConfig, "preflab_pairs.online_slic:online_slic"
        ),
        Component(
            "reward_model",
            "bag_of_words",
            BagOfWordsConfig,
            build="preflab_pairs.bag_of_words:read",
            procedure="preflab_pairs.bag_of_words:Fitting",
            needs=("rankings",),
        ),
        Component(
            "average",
            "weights",
            AverageConfig,
            procedure="preflab_pairs.averaging:Averaging",
        ),
    ]


@hookimpl
def preflab_stages() -> list[StageSpec]:
    """A stage after SFT: ``preflab +average=weights``. What follows starts from its policy."""
    return [StageSpec("average", makes="averaged", after="sft")]


@hookimpl
def preflab_config_packages() -> list[str]:
    """Where the YAML presets are."""
    return ["preflab_pairs.conf"]
