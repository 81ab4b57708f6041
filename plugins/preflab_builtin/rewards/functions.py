"""Rewards as functions of a prompt and a response's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist

from preflab import prompts
from preflab.errors import UserError
from preflab.interfaces import Context, Gold
from preflab.randomness import derive_seed
from preflab.records import Prompt
from preflab.rewards import FunctionReward
from preflab_builtin.rewards.config import (
    ContainsConfig,
    GoldRewardConfig,
    LengthRewardConfig,
    NoiseConfig,
    VaderConfig,
)

RewardFunction = Callable[[Prompt, str], float]


def length(config: LengthRewardConfig, context: Context) -> FunctionReward:
    """Minus the distance from a length."""
    return FunctionReward(length_reward(config.target, config.scale))


def contains(config: ContainsConfig, context: Context) -> FunctionReward:
    """The share of some words."""
    return FunctionReward(contains_reward(config.words))


def noise(config: NoiseConfig, context: Context) -> FunctionReward:
    """Noise."""
    return FunctionReward(noise_reward(config.draw))


def gold(config: GoldRewardConfig, context: Context) -> FunctionReward:
    """The true utility."""
    return FunctionReward(gold_reward(context.gold))


def vader(config: VaderConfig, context: Context) -> FunctionReward:
    """Sentiment."""
    return FunctionReward(vader_reward(config.whole_text, config.scale))


def look_for_vader(config: VaderConfig, context: Context) -> Iterator[str]:
    """`UserError` if its package is missing."""
    vader(config, context)
    yield from ()


def length_reward(target: int, scale: float) -> RewardFunction:
    """-scale * |words - target|."""
    return lambda prompt, text: -scale * abs(len(text.split()) - target)


def contains_reward(words: Sequence[str]) -> RewardFunction:
    """Share of the words that the response contains, each as a whole word."""
    wanted = set(words)
    return lambda prompt, text: len(wanted & set(text.split())) / len(wanted)


def noise_reward(draw: int) -> RewardFunction:
    """Standard normal noise that is the same whenever the same text answers the same prompt."""
    normal = NormalDist()

    def reward(prompt: Prompt, text: str) -> float:
        return normal.inv_cdf((derive_seed("noise reward", draw, prompt.id, text) + 0.5) / 2**63)

    return reward


def gold_reward(gold: Gold | None) -> RewardFunction:
    """The true utility of a simulated world."""
    if gold is None:
        raise UserError(
            "reward_model=gold needs a simulated world (data=microworld): the true utility of real "
            "data is not known"
        )
    return lambda prompt, text: gold.parts(prompt, text)["gold"]


def vader_reward(whole_text: bool, scale: float) -> RewardFunction:
    """vaderSentiment's compound score (Hutto & Gilbert 2014)."""
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise UserError(
            "reward_model=vader needs the extra 'sentiment': pip install 'preflab[sentiment]'"
        ) from error
    analyzer = SentimentIntensityAnalyzer()

    def reward(prompt: Prompt, text: str) -> float:
        read = prompts.whole_text(prompt.text, text) if whole_text else text
        return scale * float(analyzer.polarity_scores(read)["compound"])

    return reward
