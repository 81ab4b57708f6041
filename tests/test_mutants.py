"""The list of mutants fits the code as it is now (`make mutants` tries them)."""

from __future__ import annotations

import pytest

from mutants import MUTANTS, ROOT, Mutant, stale


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_text_stands_in_the_code_once_and_its_tests_exist(mutant: Mutant) -> None:
    assert stale(mutant, ROOT) is None
    assert mutant.new != mutant.old


def test_names_differ() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
