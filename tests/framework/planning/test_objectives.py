"""The objective of a search is checked before the first job, as far as evaluators say what they
measure."""

from __future__ import annotations

import pytest

from preflab.composing.compose import CommandLine, parse
from preflab.errors import UserError
from preflab.planning.reading import check_jobs


@pytest.mark.parametrize(
    "objective,more,message",
    [
        ("gld/gold", "evaluation=ladder", r"gld/gold, which no evaluator .*[Dd]id you mean"),
        ("gold/gold", "evaluation=none", r"measures nothing: choose .*evaluation=ladder"),
    ],
)
def test_an_objective_that_nothing_measures_is_refused(
    objective: str, more: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_jobs(_search(objective, more))


def test_an_objective_that_an_evaluator_announces_is_taken() -> None:
    assert check_jobs(_search("gold/gold", "evaluation=ladder"))


def _search(objective: str, *more: str) -> CommandLine:
    search = f"study.search={{objective:{objective},trials:4,block:2,sampler:random}}"
    return parse(["-m", search, "algorithm=ppo", "algorithm.kl.coef=interval(0.01,1)", *more])
