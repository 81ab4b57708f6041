"""The built-in labelers keep the contract that third parties keep."""

from __future__ import annotations

from preflab.testing import LabelerContract


class TestSimulated(LabelerContract):
    name = "simulated"
    overrides = ("labeler.labelers_per_prompt=3",)
