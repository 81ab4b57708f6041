"""Programmatic rewards: plain functions of prompt and response, and controls; and what shapes any reward."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context, RewardShaping
    from preflab_builtin.rewards.config import (
        ContainsConfig,
        GoldConfig,
        LengthConfig,
        NoiseConfig,
        VaderConfig,
    )
    from preflab_builtin.rewards.functions import TextReward
    from preflab_builtin.rewards.shapings import LengthPenaltyConfig, SoftClipConfig


@hookimpl
def preflab_components() -> list[Component]:
    """One component a function."""
    from preflab_builtin.rewards.config import (
        ContainsConfig,
        GoldConfig,
        LengthConfig,
        NoiseConfig,
        VaderConfig,
    )
    from preflab_builtin.rewards.shapings import LengthPenaltyConfig, SoftClipConfig

    return [
        Component("reward_model", "length", LengthConfig, build=_length),
        Component("reward_model", "contains", ContainsConfig, build=_contains),
        Component("reward_model", "noise", NoiseConfig, build=_noise),
        Component("reward_model", "gold", GoldConfig, build=_gold),
        Component("reward_model", "vader", VaderConfig, build=_vader),
        Component("reward_shaping", "length_penalty", LengthPenaltyConfig, build=_length_penalty),
        Component("reward_shaping", "soft_clip", SoftClipConfig, build=_soft_clip),
    ]


def _length(config: LengthConfig, context: Context) -> TextReward:
    from preflab_builtin.rewards.functions import TextReward, length_reward

    return TextReward(length_reward(config.target, config.scale))


def _contains(config: ContainsConfig, context: Context) -> TextReward:
    from preflab_builtin.rewards.functions import TextReward, contains_reward

    return TextReward(contains_reward(config.words))


def _noise(config: NoiseConfig, context: Context) -> TextReward:
    from preflab_builtin.rewards.functions import TextReward, noise_reward

    return TextReward(noise_reward(config.draw))


def _gold(config: GoldConfig, context: Context) -> TextReward:
    from preflab_builtin.rewards.functions import TextReward, gold_reward

    return TextReward(gold_reward(context.gold))


def _vader(config: VaderConfig, context: Context) -> TextReward:
    from preflab_builtin.rewards.functions import TextReward, vader_reward

    return TextReward(vader_reward(config.whole_text, config.scale))


def _length_penalty(config: LengthPenaltyConfig, context: Context) -> RewardShaping:
    from preflab_builtin.rewards.shapings import length_penalty

    return length_penalty(config)


def _soft_clip(config: SoftClipConfig, context: Context) -> RewardShaping:
    from preflab_builtin.rewards.shapings import soft_clip

    return soft_clip(config)
