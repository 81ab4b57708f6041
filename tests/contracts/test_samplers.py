"""Samplers keep the contract that third parties keep, where their package is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from preflab.testing import SamplerContract


class _OfOptuna(SamplerContract):
    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        pytest.importorskip("optuna", reason="the extra optuna is not installed")
        return ()


class TestTPE(_OfOptuna):
    name = "tpe"


class TestRandom(_OfOptuna):
    name = "random"


class TestGP(_OfOptuna):
    name = "gp"
