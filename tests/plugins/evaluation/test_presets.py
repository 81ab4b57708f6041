"""The presets compose to typed configs, and what they need follows from their evaluators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab.composing.compose import compose
from preflab.composing.search_path import registry
from preflab.door.choice import Choice
from preflab.errors import UserError
from preflab.planning.asking import needs
from preflab.planning.reading import choose, read
from preflab.planning.run import Run
from preflab_builtin.evaluation.config import SuiteConfig

WIN_RATES = ("win_rate", "win_rate_held_out")


def _run(*overrides: str) -> Run:
    config: Any = OmegaConf.to_container(compose(["evaluation=ladder", *overrides]), resolve=True)
    return read(config, registry())


def _choice(name: str, *overrides: str) -> Choice:
    config: Any = OmegaConf.to_container(compose(overrides, f"evaluation/{name}"), resolve=True)
    return choose(registry(), "evaluation", config["evaluation"], "evaluation")


def test_the_ladder_asks_every_evaluator_of_a_rung() -> None:
    choice = _choice("ladder")
    assert isinstance(choice.config, SuiteConfig)
    kinds = [config.name for config in choice.config.evaluators.values()]
    assert kinds == [
        "reward",
        "gold",
        "win_rate",
        "win_rate",
        "length",
        "kl",
        "families",
        "document_loss",
        "reward_accuracy",
        "groups",  # only if there are some
    ]
    assert choice.config.prompts == 400
    records = {"prompts:test", "documents:test", "rankings:test,validation"}
    roles = {"policy:result", "policy:sft"}
    assert needs(choice) == {*records, *roles, "reward_model", "labeler:any", "gold"}


def test_an_evaluator_can_be_left_out_and_changed() -> None:
    words = [
        f"evaluation.evaluators.{name}=null"
        for name in ("reward", "reward_accuracy", "families", "document_loss")
    ]
    choice = _choice(
        "ladder", *words, "evaluation.evaluators.win_rate.judge=gold", "evaluation.prompts=10"
    )
    assert list(choice.config.evaluators) == [
        "gold",
        "win_rate",
        "win_rate_held_out",
        "length",
        "kl",
        "groups",
    ]
    assert needs(choice) == {"prompts:test", "labeler:any", "gold", "policy:result", "policy:sft"}


def test_the_reward_model_preset_samples_nothing() -> None:
    choice = _choice("reward_model")
    assert choice.config.prompts == 0
    assert needs(choice) == {"rankings:test,validation", "reward_model", "policy:result"}


def test_fast_makes_everything_small() -> None:
    config = _run("debug=fast").choices["evaluation"].config
    assert (config.prompts, config.evaluators["families"].per_family) == (8, 4)


def test_none_makes_no_stage() -> None:
    assert _choice("none").component.procedure is None


@pytest.mark.parametrize("key", ["subject", "baseline"])
def test_a_role_that_no_stage_makes_is_refused(key: str) -> None:
    message = (
        rf"needs the policy in the role 'initail' \(evaluation\.{key}\), which no stage makes\. "
        r"Allowed: base, initial, result, sft\. Did you mean 'initial'\?"
    )
    with pytest.raises(UserError, match=message):
        _run(f"evaluation.{key}=initail")


def test_a_baseline_is_any_role_or_none_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("prompt,response\n")
    assert _run("evaluation.baseline=base", "evaluation.subject=initial").stage("evaluation")
    without_win_rate = [f"evaluation.evaluators.{name}=null" for name in WIN_RATES]
    assert _run("evaluation.baseline=none", *without_win_rate).stage("evaluation")
    path = f"evaluation.baseline_path={tmp_path / 'rows.csv'}"
    assert _run("evaluation.baseline=file", path).stage("evaluation")


def test_a_typo_in_an_evaluator_names_its_key() -> None:
    with pytest.raises(UserError, match=r"per_familly"):
        _choice("ladder", "evaluation.evaluators.families.per_familly=3")
    with pytest.raises(UserError, match=r"evaluation\.prompts"):
        _choice("ladder", "evaluation.prompts=0")


CHOICE = "name: multiple_choice, template: '{q}', right: [a], wrong: [b]"
JUDGE = "name: win_rate, judge: gold"
DOUBLED = {
    ("more={name: length}",): r"evaluators\.more measures length/tokens, length/terminated, which",
    (f"a={{{JUDGE}}}", f"b={{{JUDGE}}}"): "measures win_rate/gold",
    (f"a={{{CHOICE}, path: x}}", f"b={{{CHOICE}, path: y}}"): "measures multiple_choice/plain",
    ("a={name: ratings}", "b={name: ratings}"): "measures likert",
}


@pytest.mark.parametrize("added", DOUBLED)
def test_two_evaluators_that_measure_the_same_are_refused(added: tuple[str, ...]) -> None:
    """When the command is read, not at the end of the run."""
    with pytest.raises(UserError, match=DOUBLED[added]):
        _choice("samples", *(f"+evaluation.evaluators.{word}" for word in added))


def test_labels_tell_two_evaluators_apart() -> None:
    words = [f"a={{{JUDGE}}}", f"b={{{JUDGE}, label: other}}"]
    _choice("samples", *(f"+evaluation.evaluators.{word}" for word in words))
