"""Reward models that are networks: trained on K-wise rankings, or read from a folder."""

from __future__ import annotations

from preflab import Component, hookimpl

_ROOM = "preflab_builtin.reward_model"


@hookimpl
def preflab_components() -> list[Component]:
    """The trained reward model and the given one."""
    from preflab_builtin.reward_model.config import KwiseConfig, PretrainedRewardConfig

    return [
        Component(
            "reward_model",
            "kwise",
            KwiseConfig,
            build=f"{_ROOM}.scoring:trained",
            procedure=f"{_ROOM}.training:KwiseTraining",
            needs=KwiseConfig.needs,
            preflight=f"{_ROOM}.preflight:kwise",
        ),
        Component(
            "reward_model",
            "pretrained",
            PretrainedRewardConfig,
            build=f"{_ROOM}.scoring:pretrained",
            inspect=f"{_ROOM}.folder:inspect",
            preflight=f"{_ROOM}.preflight:pretrained",
        ),
    ]
