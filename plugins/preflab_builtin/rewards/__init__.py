"""Programmatic rewards: plain functions of prompt and response, and controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.rewards.config import ContainsConfig, GoldConfig, LengthConfig, NoiseConfig, VaderConfig
    from preflab_builtin.rewards.functions import TextReward


@hookimpl
def preflab_components() -> list[Component]:
    """One component a function."""
    from preflab_builtin.rewards.config import ContainsConfig, GoldConfig, LengthConfig, NoiseConfig, VaderConfig

    return [
        Component("reward_model", "length", LengthConfig, build=_length),
        Component("reward_model", "contains", ContainsConfig, build=_contains),
        Component("reward_model", "noise", NoiseConfig, build=_noise),
        Component("reward_model", "gold", GoldConfig, build=_gold),
        Component("reward_model", "vader", VaderConfig, build=_vader),
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
