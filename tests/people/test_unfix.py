"""The list of safeguards fits the code (`make label-test` removes them)."""

from __future__ import annotations

import pytest

from mutants import ROOT, stale
from mutations import Mutant
from people.unfix import SAFEGUARDS


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda safeguard: safeguard.name)
def test_it_fits_the_code(safeguard: Mutant) -> None:
    assert stale(safeguard, ROOT) is None
