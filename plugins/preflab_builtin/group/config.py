"""Config of algorithms whose baseline is the other responses to the same prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from preflab import option
from preflab_builtin.on_policy.config import (
    Aggregate,
    KLEstimator,
    KLPenaltyConfig,
    OnPolicyConfig,
    RatioClipConfig,
    whole_groups,
)


class Baseline(StrEnum):
    """What is subtracted from the reward of a response."""

    leave_one_out = "leave_one_out"
    mean = "mean"
    none = "none"


class Scale(StrEnum):
    """What the advantages are divided by."""

    none = "none"
    group = "group"
    batch = "batch"


class Credit(StrEnum):
    """What the reward of a token is credited to."""

    response = "response"
    token = "token"


class Place(StrEnum):
    """Where the KL to the reference stands."""

    reward = "reward"
    loss = "loss"


@dataclass
class GroupKLConfig(KLPenaltyConfig):
    """The KL penalty, in the reward or in the loss."""

    place: Place = option(
        Place.reward,
        "reward (per token, as the log-ratio k1: ends at the optimum of reward and KL) or loss "
        "(ends there for responses of one token only)",
    )
    estimator: KLEstimator = option(
        KLEstimator.weighted_k3,
        "in the loss, token by token: weighted_k3 and k2 have the gradient of each token's KL, "
        "without the token's effect on the KL of later ones; k3 (GRPO as published) has another",
    )


@dataclass
class GroupClipConfig(RatioClipConfig):
    """What is clipped, above and below apart."""

    ratio_high: float | None = option(
        None, "upper bound of the ratio, 1 + this (DAPO: 0.28); null: as below", gt=0
    )


@dataclass
class GroupConfig(OnPolicyConfig):
    """Several responses per prompt, no value network. The defaults are RLOO (arXiv 2402.14740) with
    the KL in the reward."""

    name: str = option("group", "component")
    samples: int = option(8, "responses per prompt", ge=1, fast=4)
    baseline: Baseline = option(
        Baseline.leave_one_out,
        "subtracted from a response's reward: leave_one_out (the mean of the others; unbiased), "
        "mean (of the group; scales the gradient by (n - 1) / n), none",
    )
    scale: Scale = option(
        Scale.none,
        "none; group (divide by the group's standard deviation, as GRPO does: easy and hard "
        "prompts weigh more); batch (whiten over the tokens of the batch)",
    )
    credit: Credit = option(
        Credit.response,
        "response (every token gets the reward of the whole response) or token (of what comes "
        "after it)",
    )
    aggregate: Aggregate = option(
        Aggregate.constant,
        "normalisation of the loss: token (mean over tokens), sequence (mean over responses of "
        "their mean over tokens), constant (sum by responses times rollout.max_tokens), response "
        "(mean over responses of their sum over tokens)",
    )
    resample: int = option(
        0,
        "how often, in an iteration, prompts whose responses all have the same score are replaced "
        "by other prompts (DAPO's dynamic sampling, arXiv 2503.14476); 0: never",
        ge=0,
    )
    kl: GroupKLConfig = option(factory=GroupKLConfig, doc="penalty against the reference")
    clip: GroupClipConfig = option(factory=GroupClipConfig, doc="clipping")

    def check(self) -> Iterator[tuple[str, str]]:
        """What every on-policy algorithm checks, and that groups are whole and have a baseline."""
        yield from OnPolicyConfig.check(self)
        # A minibatch may divide a prompt's responses: their advantages are known by then.
        yield from (row for row in whole_groups(self, self.samples) if row[0] == "batch")
        compares = self.baseline is not Baseline.none or self.scale is Scale.group
        if self.samples < 2 and compares:
            yield (
                "samples",
                "is 1, but responses to one prompt are compared: take at least 2, or "
                "baseline=none with scale=none or batch",
            )
        if self.resample and self.samples < 2:
            yield "resample", f"is {self.resample} but one response has no other to differ from"
        if self.credit is Credit.token and self.scale is Scale.group:
            yield "scale", "is group, which is of whole responses: choose credit=response"
