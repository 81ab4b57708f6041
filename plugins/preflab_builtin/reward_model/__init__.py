"""Reward models that are networks: trained on K-wise rankings, or read from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from preflab import Component, Inspection, UserError, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.reward_model.config import KwiseConfig, PretrainedRewardConfig
    from preflab_builtin.reward_model.scoring import NetworkReward
    from preflab_builtin.reward_model.training import KwiseTraining


@hookimpl
def preflab_components() -> list[Component]:
    """The trained one, the given one, and none."""
    from preflab_builtin.reward_model.config import (
        KwiseConfig,
        NoRewardModelConfig,
        PretrainedRewardConfig,
    )

    return [
        Component(
            "reward_model",
            "kwise",
            KwiseConfig,
            build=_trained,
            procedure=_training,
            needs=lambda config: ("rankings",),
        ),
        Component(
            "reward_model", "pretrained", PretrainedRewardConfig, build=_given, inspect=_inspect
        ),
        Component("reward_model", "none", NoRewardModelConfig),
    ]


def _training(config: KwiseConfig, context: Context) -> KwiseTraining:
    from preflab_builtin.reward_model.training import KwiseTraining

    return KwiseTraining(config, context)


def _trained(config: KwiseConfig, context: Context) -> NetworkReward:
    from preflab_builtin.reward_model.scoring import NetworkReward

    return NetworkReward(context.load_scalar(context.folder / "model"), context.runtime)


def _given(config: PretrainedRewardConfig, context: Context) -> NetworkReward:
    from preflab_builtin.reward_model.scoring import NetworkReward

    return NetworkReward(context.load_scalar(Path(config.path)), context.runtime)


def _inspect(config: PretrainedRewardConfig) -> Inspection:
    from preflab.storage.artifacts import file_digest
    from preflab_builtin.causal_lm.folders import check_folder, content_digest, tokenizer_digest

    folder = Path(config.path)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"reward_model.path={config.path} is no model folder: it has no config.json (looked from {Path.cwd()})"
        )
    check_folder(folder)
    facts = folder / "preflab.json"  # holds the offset: it decides scores as much as a weight does
    content = content_digest(folder) + (file_digest(facts) if facts.is_file() else "")
    return Inspection(content=content, tokenizer=tokenizer_digest(folder))
