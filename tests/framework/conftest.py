"""Tests here pretend that other plugins are installed, and look at the registry of this process."""

from __future__ import annotations

import pytest

from preflab.composing import search_path


@pytest.fixture(autouse=True)
def really_installed() -> None:
    """What is really installed is known before a test pretends: what it pretends would stay known
    to the tests behind it."""
    search_path.registry()
