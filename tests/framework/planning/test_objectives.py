"""The objective of a search is checked before the first job, as far as evaluators say what they
measure."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab.composing.compose import CommandLine, parse
from preflab.errors import UserError
from preflab.planning.reading import check_jobs
from preflab_builtin.evaluation.config import SuiteConfig


@pytest.mark.parametrize(
    "objective,more,message",
    [
        ("gld/gold", "evaluation=ladder", r"gld/gold, which no evaluator .*[Dd]id you mean"),
        ("gold/nonsense", "evaluation=ladder", r"gold/nonsense, which no .*gold/harmless"),
        ("families/summs", "evaluation=ladder", r"Did you mean 'families/sums'"),
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


def test_an_evaluation_announces_measures_of_its_own_beside_its_evaluators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SuiteConfig, "measured", lambda self: ("mine/x",), raising=False)
    assert check_jobs(_search("mine/x", "evaluation=ladder"))
    assert check_jobs(_search("gold/gold", "evaluation=ladder"))


def test_names_that_only_the_data_knows_are_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files say their families when they are read: families/* stands for any."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(
        f'{{"text": "f {i}", "family": "tales", "answer_start": 1}}\n' for i in range(40)
    )
    Path("rows.jsonl").write_text(rows)
    words = ("documents=files", "documents.path=rows.jsonl", "evaluation=ladder")
    assert check_jobs(_search("families/tales", *words))


def test_a_policy_is_kept_by_a_measure_that_its_evaluators_take() -> None:
    words = ["algorithm=ppo", "+watch=gold", "algorithm.watch.every=1"]
    assert check_jobs(parse([*words, "algorithm.keep=best:gold/harmless"]))
    with pytest.raises(
        UserError, match=r"algorithm\.keep decides by gold/harmles,.*gold/harmless'"
    ):
        check_jobs(parse([*words, "algorithm.keep=best:gold/harmles"]))


def _search(objective: str, *more: str) -> CommandLine:
    search = f"study.search={{objective:{objective},trials:4,block:2,sampler:random}}"
    return parse(["-m", search, "algorithm=ppo", "algorithm.kl.coef=interval(0.01,1)", *more])


def test_flags_are_those_of_the_world() -> None:
    """data=refusals has one more than data=microworld, as long as somebody asks for harm."""
    words = ("evaluation=ladder", "+evaluator@evaluation.evaluators.ratings=ratings")
    assert check_jobs(_search("flags/rude", *words))
    assert check_jobs(_search("flags/harmful", *words, "data=refusals"))
    for data in ("data=microworld", "data=refusals data.refusals=0"):
        with pytest.raises(UserError, match="flags/harmful, which no evaluator"):
            check_jobs(_search("flags/harmful", *words, *data.split()))
