"""Claims of arms that no job has, and of what no job measures, are told before the first job."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab.composing.compose import parse
from preflab.console import commands
from preflab.errors import UserError
from preflab.planning.claims import check_claims
from preflab.planning.reading import check_jobs

STUDY = """
defaults: [config, {{override algorithm: ppo}}, {{override evaluation: ladder}}, _self_]
study:
  claims:
    one: {{statement: s, measure: {measure}, arm: algorithm.kl.coef=0.3, versus: {versus}}}
  series: {{much: [algorithm.kl.coef=0.1, algorithm.kl.coef=0.3]}}
hydra: {{mode: MULTIRUN, sweeper: {{params: {{algorithm.kl.coef: "0.1,0.3", seed: "1,2"}}}}}}
"""
WORDS = ["-cn", "claimed", "--config-dir", "."]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(
    *words: str, versus: str = "algorithm.kl.coef=0.1", measure: str = "gold/gold"
) -> list[str]:
    Path("claimed.yaml").write_text(STUDY.format(versus=versus, measure=measure))
    line = parse([*WORDS, *words])
    return check_claims(line, check_jobs(line))


@pytest.mark.parametrize("versus", ["algorithm.kl.coef=0.1", "much", "null"])
def test_nothing_is_said_of_arms_that_are_there(versus: str) -> None:
    assert said("seed=3", versus=versus) == []


def test_an_arm_that_no_job_has_is_refused_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = (
        r"study\.claims\.one speaks of the arm algorithm\.kl\.coef=0\.4, which no job has.*"
        r"Allowed: algorithm\.kl\.coef=0\.1, algorithm\.kl\.coef=0\.3\. Did you mean"
    )
    with pytest.raises(UserError, match=wrong):
        said(versus="algorithm.kl.coef=0.4")
    with pytest.raises(UserError, match=wrong) as refused:
        commands.run("plan", WORDS)
    assert refused.value.exit_code == 2
    assert said("~study.claims.one", versus="algorithm.kl.coef=0.4") == []  # the cure


def test_an_arm_that_the_command_line_leaves_out_is_a_notice() -> None:
    (notice,) = said("algorithm.kl.coef=0.3")
    assert "the arm algorithm.kl.coef=0.1, which no job has: these jobs do not answer it" in notice


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("reward/proxi", "reward/proxy"), ("gold/nonsense", ""), ("cost/flop", "cost/flops")],
)
def test_a_measure_that_no_evaluator_announces_is_refused(wrong: str, near: str) -> None:
    with pytest.raises(UserError, match="which no evaluator of the jobs measures") as refused:
        said(measure=wrong)
    assert f"about {wrong}," in str(refused.value)
    assert "'~study.claims.one'" in str(refused.value)
    assert "gold/harmless, " in str(refused.value)  # what is allowed, by its whole name
    assert f"Did you mean '{near}'?" in str(refused.value) or not near


def test_a_measure_that_is_announced_is_taken() -> None:
    for measure in ("cost/flops", "calibration/proxy/loss", "families/sums"):
        assert said(measure=measure) == []


def test_a_measure_that_the_command_line_leaves_out_is_a_notice() -> None:
    (notice,) = said("evaluation.evaluators.gold=null")
    assert "about gold/gold, which no evaluator of the jobs measures" in notice
    assert said("evaluation=none") == [
        "The study has claims, but its jobs measure nothing: choose an evaluation."
    ]


def test_the_trials_of_a_search_are_arms_that_come_later() -> None:
    search = "study.search={objective:gold/gold,trials:2,sampler:random}"
    words = (search, "algorithm.kl.coef=interval(0,1)")
    assert said(*words, versus="algorithm.kl.coef=0.4") == []


@pytest.mark.parametrize(
    ("order", "refused"), [("{arm: null}, _self_", True), ("_self_, {arm: null}", False)]
)
def test_two_arms_that_compute_the_same_are_refused(order: str, refused: bool) -> None:
    """Where the study's own value wins over the arms', both have 0.2."""
    Path("arm").mkdir()
    for name, coef in (("low", 0.1), ("high", 0.3)):
        values = f"# @package _global_\narm: {name}\nalgorithm: {{kl: {{coef: {coef}}}}}\n"
        Path(f"arm/{name}.yaml").write_text(values)
    Path("alike.yaml").write_text(
        f"defaults: [config, {order}, {{override algorithm: ppo}}, {{override evaluation: ladder}}]"
        "\n"
        "algorithm: {kl: {coef: 0.2}}\n"
        "study:\n  claims:\n"
        "    one: {statement: s, measure: gold/gold, arm: high, versus: low}\n"
        'hydra: {mode: MULTIRUN, sweeper: {params: {arm: "low,high", seed: "1,2"}}}\n'
    )
    line = parse(["-cn", "alike", "--config-dir", "."])
    if not refused:
        assert check_claims(line, check_jobs(line)) == []
        return
    with pytest.raises(UserError, match=r"arms high and low, whose jobs compute the same") as error:
        check_claims(line, check_jobs(line))
    assert "unless _self_ stands before arm" in str(error.value)
    assert "'~study.claims.one'" in str(error.value)
