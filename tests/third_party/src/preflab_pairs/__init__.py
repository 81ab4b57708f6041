"""Learning from pairs without a reward network: DPO, and a reward model that counts words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context

    from preflab_pairs.bag_of_words import BagOfWords, Fitting
    from preflab_pairs.config import BagOfWordsConfig, DPOConfig
    from preflab_pairs.dpo import DPO

PREFLAB_API = 1

PREFLAB_API = 1


@hookimpl
def preflab_components() -> list[Component]:
    """An algorithm and a reward model."""
    from preflab_pairs.config import BagOfWordsConfig, DPOConfig

    return [
        Component("algorithm", "dpo", DPOConfig, procedure=_dpo, needs=lambda config: ("rankings",)),
        Component("reward_model", "bag_of_words", BagOfWordsConfig, build=_scores, procedure=_fitting, needs=_rankings),
    ]


@hookimpl
def preflab_config_packages() -> list[str]:
    """Where the YAML presets are."""
    return ["preflab_pairs.conf"]


def _rankings(config: BagOfWordsConfig) -> tuple[str, ...]:
    return ("rankings",)


def _dpo(config: DPOConfig, context: Context) -> DPO:
    from preflab_pairs.dpo import DPO

    return DPO(config, context)


def _fitting(config: BagOfWordsConfig, context: Context) -> Fitting:
    from preflab_pairs.bag_of_words import Fitting

    return Fitting(config, context)


def _scores(config: BagOfWordsConfig, context: Context) -> BagOfWords:
    from preflab_pairs.bag_of_words import BagOfWords

    return BagOfWords.read(context.folder)
