"""The list of safeguards fits the code as it is now (`make reliability` takes them away)."""

from __future__ import annotations

import pytest

from mutants import ROOT, Mutant, stale
from reliability.unfix import SAFEGUARDS


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda safeguard: safeguard.name)
def test_it_fits_the_code(safeguard: Mutant) -> None:
    assert stale(safeguard, ROOT) is None
