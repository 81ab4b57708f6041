"""Programmatic rewards: plain functions of prompt and response, and controls; and what shapes any
reward."""

from __future__ import annotations

from preflab import Component, hookimpl

_FUNCTIONS, _SHAPINGS = "preflab_builtin.rewards.functions", "preflab_builtin.rewards.shapings"


@hookimpl
def preflab_components() -> list[Component]:
    """One component per function."""
    from preflab_builtin.rewards import config as c
    from preflab_builtin.rewards.shapings import (
        InOrderConfig,
        LengthPenaltyConfig,
        ShuffledConfig,
        SoftClipConfig,
    )

    return [
        Component("reward_model", "length", c.LengthRewardConfig, build=f"{_FUNCTIONS}:length"),
        Component("reward_model", "contains", c.ContainsConfig, build=f"{_FUNCTIONS}:contains"),
        Component("reward_model", "noise", c.NoiseConfig, build=f"{_FUNCTIONS}:noise"),
        Component(
            "reward_model",
            "gold",
            c.GoldRewardConfig,
            build=f"{_FUNCTIONS}:gold",
            needs=("gold",),
        ),
        Component(
            "reward_model",
            "vader",
            c.VaderConfig,
            build=f"{_FUNCTIONS}:vader",
            preflight=f"{_FUNCTIONS}:look_for_vader",
        ),
        Component(
            "reward_shaping",
            "length_penalty",
            LengthPenaltyConfig,
            build=f"{_SHAPINGS}:length_penalty",
        ),
        Component("reward_shaping", "shuffled", ShuffledConfig, build=f"{_SHAPINGS}:shuffled"),
        Component("reward_shaping", "soft_clip", SoftClipConfig, build=f"{_SHAPINGS}:soft_clip"),
        Component(
            "reward_shaping",
            "in_order",
            InOrderConfig,
            build=f"{_SHAPINGS}:in_order",
            nested={"shaping": "reward_shaping"},
        ),
    ]
