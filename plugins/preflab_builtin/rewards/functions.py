"""Rewards as functions of a prompt and a response's text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist

import torch

from preflab.errors import UserError
from preflab.interfaces import Gold
from preflab.randomness import derive_seed
from preflab.records import Prompt, Rollout

RewardFunction = Callable[[Prompt, str], float]


class TextReward:
    """`preflab.interfaces.RewardModel` from a plain function."""

    def __init__(self, function: RewardFunction) -> None:
        self.function = function

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        values = [
            self.function(p, text) for p, text in zip(rollout.prompts, rollout.texts, strict=True)
        ]
        return torch.tensor(values, dtype=torch.float32, device=rollout.prompt_ids.device)


def length_reward(target: int, scale: float) -> RewardFunction:
    """-scale * |words - target|."""
    return lambda prompt, text: -scale * abs(len(text.split()) - target)


def contains_reward(words: Sequence[str]) -> RewardFunction:
    """Share of the words that stand in the response, each as a whole word."""
    wanted = set(words)
    if not wanted:
        raise UserError("reward_model.words is empty: name at least one word")
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
            "reward_model=gold needs a simulated world (data=microworld): nobody knows the true utility of real data"
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
        return scale * float(
            analyzer.polarity_scores(prompt.text + text if whole_text else text)["compound"]
        )

    return reward
