"""The list of safeguards fits the code as it is now (`make reliability` takes them away)."""

from __future__ import annotations

import pytest

from mutants import ROOT, Mutant, stale
from reliability.unfix import SAFEGUARDS


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda safeguard: safeguard.name)
def test_its_text_stands_in_the_code_once_and_its_tests_exist(safeguard: Mutant) -> None:
    assert stale(safeguard, ROOT) is None
    assert safeguard.new != safeguard.old
