"""Everything that is wrong with the jobs of a command line, in one refusal."""

from __future__ import annotations

import pytest

from preflab import UserError
from preflab.planning.refusals import Refusals


def _said(jobs: int, *found: tuple[str, str]) -> str:
    refusals = Refusals(jobs)
    for reason, words in found:
        refusals.add(reason, words.split())
    with pytest.raises(UserError) as refused:
        refusals.end()
    return str(refused.value)


def test_nothing_is_refused() -> None:
    Refusals(3).end()


def test_of_a_single_job_nothing_but_the_reason_is_said() -> None:
    assert _said(1, ("no model", "seed=1")) == "no model"


def test_a_reason_is_said_once_with_the_first_of_its_jobs() -> None:
    assert _said(2, ("no model", "seed=1 a=b")) == "no model\n(in the job seed=1 a=b)"
    several = [("no model", f"seed={seed}") for seed in (1, 2, 3)]
    assert _said(4, *several) == "no model\n(in the job seed=1 and 2 more)"


def test_every_reason_is_said() -> None:
    assert _said(5, ("no model", "seed=1"), ("too long", "seed=2"), ("no model", "seed=3")) == (
        "3 of 5 jobs are refused, so none is started.\n\n"
        "no model\n(in the job seed=1 and 1 more)\n\n"
        "too long\n(in the job seed=2)"
    )
