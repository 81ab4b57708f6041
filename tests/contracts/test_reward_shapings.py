"""The built-in reward shapings keep the contract that third parties keep."""

from __future__ import annotations

from preflab.testing import RewardShapingContract


class TestLengthPenalty(RewardShapingContract):
    name = "length_penalty"


class TestSoftClip(RewardShapingContract):
    name = "soft_clip"
