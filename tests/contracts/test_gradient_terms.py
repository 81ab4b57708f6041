"""The built-in gradient term keeps the contract that third parties keep."""

from __future__ import annotations

from preflab.testing import GradientTermContract


class TestPtx(GradientTermContract):
    name = "ptx"


class TestEntropy(GradientTermContract):
    name = "entropy"


class TestPtxInItsPreset(GradientTermContract):
    name = "ptx"
    overrides = ("algorithm=ppo_ptx",)
