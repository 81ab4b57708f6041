"""Reward shapings: a price on length, a bound that is approached smoothly, a control without
information, and several of any in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preflab import option
from preflab.randomness import derive_seed
from preflab.shaping import shaped

if TYPE_CHECKING:
    import torch

    from preflab.interfaces import Context, RewardShaping
    from preflab.records import Rollout


@dataclass
class LengthPenaltyConfig:
    """A price on every token of a response beyond a free number of them: reward models prefer
    length for its own sake."""

    name: str = option("length_penalty", "component")
    coef: float = option(0.01, "reward subtracted per token", ge=0)
    free: int = option(0, "tokens that cost nothing, end token included", ge=0)


@dataclass
class SoftClipConfig:
    """limit tanh(score / limit): the further a score is from 0 (the demonstrations' mean), the less
    a higher one is worth, so that scores far from those that a reward model was trained on pay
    little (bounded as in Fu et al. 2025, arXiv 2502.18770)."""

    name: str = option("soft_clip", "component")
    limit: float = option(2.0, "scores stay within +- this; small ones hardly change", gt=0)


@dataclass
class ShuffledConfig:
    """Control: every response gets the score of a response of its batch, by chance. The scores keep
    their distribution and say nothing about the responses: what updates without a goal do to a
    model, with all else as in the run without it."""

    name: str = option("shuffled", "component")
    draw: int = option(0, "number of the shuffle: another one is independent", ge=0)


@dataclass
class InOrderConfig:
    """Several shapings, one after the other, where there is a place for one, as beside a member of
    a sum of reward models."""

    name: str = option("in_order", "component")
    shaping: dict[str, Any] = option(
        factory=dict, doc="reward shapings by any name, in their order"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """There is one."""
        if not self.shaping:
            yield (
                "shaping",
                "is empty: add +reward_shaping@KEY.shaping.ANY=NAME, with the key of this one",
            )


def length_penalty(config: LengthPenaltyConfig, context: Context) -> RewardShaping:
    """score - coef max(0, tokens - free)."""

    def shape(scores: torch.Tensor, rollout: Rollout) -> torch.Tensor:
        return scores - config.coef * (rollout.response_lengths - config.free).clamp_min(0)

    return shape


def soft_clip(config: SoftClipConfig, context: Context) -> RewardShaping:
    """limit tanh(score / limit)."""

    def shape(scores: torch.Tensor, rollout: Rollout) -> torch.Tensor:
        return config.limit * (scores / config.limit).tanh()

    return shape


def shuffled(config: ShuffledConfig, context: Context) -> RewardShaping:
    """Responses in one drawn order get the scores in another. Both are drawn by prompts and texts,
    so that the order of the rows changes nothing."""
    import torch

    def shape(scores: torch.Tensor, rollout: Rollout) -> torch.Tensor:
        rows = list(zip(rollout.prompts, rollout.texts, strict=True))
        responses, dealt = (
            torch.tensor(
                [derive_seed("shuffled", config.draw, what, p.id, text) for p, text in rows]
            ).argsort(stable=True)
            for what in ("responses", "scores")
        )
        shuffled = torch.empty_like(scores)
        shuffled[responses] = scores[dealt]
        return shuffled

    return shape


def in_order(config: InOrderConfig, context: Context) -> RewardShaping:
    """Each of what the one before returned."""
    shapings: dict[str, RewardShaping] = {
        name: context.component("reward_shaping", part) for name, part in config.shaping.items()
    }

    def shape(scores: torch.Tensor, rollout: Rollout) -> torch.Tensor:
        return shaped(shapings, scores, rollout)[0]

    return shape
