"""The list of mutants fits the code (`make mutants` tries them)."""

from __future__ import annotations

import pytest

from mutants import MUTANTS, ROOT, mutated, pattern, stale
from mutations import Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_fits_the_code(mutant: Mutant) -> None:
    assert stale(mutant, ROOT) is None


def test_layout_does_not_matter() -> None:
    mutant = Mutant("", "", "  run(a, b)\n", "  run(b)\n", "")
    assert (
        mutated(mutant, "if x:\n    run(\n        a,\n        b,\n    )\n") == "if x:\n    run(b)\n"
    )
    assert not pattern("a.b").search("a.bc")


def test_names_differ() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
