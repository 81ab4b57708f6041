"""The built-in reward shapings keep the contract that third parties keep."""

from __future__ import annotations

from preflab.testing import RewardShapingContract


class TestLengthPenalty(RewardShapingContract):
    name = "length_penalty"


class TestSoftClip(RewardShapingContract):
    name = "soft_clip"


class TestInOrder(RewardShapingContract):
    name = "in_order"
    required = ("shaping",)
    overrides = (
        "+reward_shaping@algorithm.shaping.case=in_order",
        "+reward_shaping@algorithm.shaping.case.shaping.length=length_penalty",
    )


class TestShuffled(RewardShapingContract):
    name = "shuffled"
