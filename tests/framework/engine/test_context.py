"""What components are given: policies by role, checkpoints, responders, and builds that fail."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framework.engine.counting import Counting
from preflab import PluginError, UserError
from preflab.composing.compose import compose
from preflab.engine.context import Environment, StageContext
from preflab.planning.reading import job_of
from preflab.records import Prompt
from preflab.responders import PolicyResponder
from support import FakeContext, largest_difference


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Of a run whose stages base, SFT and PPO have left models."""
    run = job_of(compose(["debug=fast"], with_hydra=True)).run
    environment = Environment(run, lambda hook, **shown: None)
    for stage in ("pretrain", "sft", "algorithm"):
        (tmp_path / stage / "model").mkdir(parents=True)
        environment.artifacts[stage] = tmp_path / stage
    return environment


def test_a_role_is_the_newest_policy_up_to_its_stage(
    environment: Environment, tmp_path: Path
) -> None:
    folders = {role: environment.model_folder(role) for role in environment.run.graph.roles}
    assert folders == {
        "base": tmp_path / "pretrain" / "model",
        "sft": tmp_path / "sft" / "model",
        "initial": tmp_path / "sft" / "model",  # nothing was selected
        "result": tmp_path / "algorithm" / "model",
    }
    environment.artifacts.clear()
    assert environment.model_folder("result") is None  # the policy as it was created


def test_an_unknown_role_is_refused(environment: Environment) -> None:
    with pytest.raises(UserError, match=r"no policy in the role 'stf'.*Did you mean 'sft'"):
        environment.model_folder("stf")


def test_a_checkpoint_is_a_role_below_its_stages(environment: Environment, tmp_path: Path) -> None:
    kept = tmp_path / "algorithm" / "checkpoints" / "step-5"
    kept.mkdir(parents=True)
    assert environment.model_folder("result/step-5") == kept
    with pytest.raises(UserError, match=r"'result/step-6': result keeps step-5\."):
        environment.model_folder("result/step-6")
    with pytest.raises(UserError, match=r"'sft/epoch-1': sft keeps no checkpoints\."):
        environment.model_folder("sft/epoch-1")


@pytest.mark.parametrize(
    "stage,use,words",
    [
        ("pretrain", lambda c: c.records("rankings", "train"), "uses rankings .*the needs of the"),
        ("sft", lambda c: c.reward_model(), "uses reward_model .*in the uses of the StageSpec"),
        ("reward_model", lambda c: c.rollout(), "uses rollout without declaring it"),
        ("sft", lambda c: c.labeler(), "uses labeler without declaring it"),
    ],
)
def test_a_stage_cannot_use_what_its_recipe_does_not_hold(
    environment: Environment, stage: str, use: Callable[[StageContext], Any], words: str
) -> None:
    context = StageContext(environment, stage)
    # As if the data held rankings: they are in no recipe of a stage that does not read them.
    context.has = lambda record_type: True  # type: ignore[method-assign]
    with pytest.raises(PluginError, match=words):
        use(context)


@pytest.mark.parametrize("ahead", [False, True])
def test_what_is_looked_at_before_any_work_need_not_be_declared(
    environment: Environment, ahead: bool
) -> None:
    """Pretraining reads no prompts: its own step may not, a look at what is to come may."""
    context = StageContext(environment, "pretrain", ahead=ahead).within("part")
    refused = contextlib.nullcontext() if ahead else pytest.raises(PluginError, match="declaring")
    with refused:
        assert context.records("prompts", "train")


def test_checkpoints_are_in_the_order_of_training(environment: Environment, tmp_path: Path) -> None:
    for name in ("10", "9", "100"):
        (tmp_path / "sft" / "checkpoints" / name).mkdir(parents=True)
    context = StageContext(environment, "evaluation")
    assert context.checkpoints("sft") == ["9", "10", "100"]
    chosen = tmp_path / "sft" / "checkpoints" / "10"
    assert environment.model_folder("sft/10") == chosen


def test_a_component_knows_the_key_of_its_options_wherever_it_stands() -> None:
    """Three members of an ensemble have equal options, and each a key of its own."""
    run = job_of(compose(["debug=fast", "reward_model=ensemble"], with_hydra=True)).run
    context = StageContext(Environment(run, lambda hook, **shown: None), "reward_model")
    whole = run.choices["reward_model"].config
    assert context.key_of(whole) == "reward_model"
    keys = {name: context.within(name).key_of(member) for name, member in whole.members.items()}
    assert keys == {name: f"reward_model.members.{name}" for name in ("first", "second", "third")}
    assert whole.members["first"] == whole.members["second"]
    unknown = dataclasses.replace(whole.members["first"])
    assert context.key_of(unknown) == "reward_model"  # the stage


@pytest.mark.parametrize(
    "build,message", [(None, "builds nothing that others can use"), (lambda c, x: None, "None")]
)
def test_a_component_that_builds_nothing_names_its_plugin(
    environment: Environment, build: Any, message: str
) -> None:
    choice = environment.run.choices["policy"]
    component = dataclasses.replace(choice.component, build=build)
    broken = dataclasses.replace(choice, component=component)
    with pytest.raises(PluginError, match=rf"policy 'tiny' of plugin 'causal_lm'.*{message}"):
        environment.build(broken, StageContext(environment, "policy"))


def test_a_policy_to_sample_from_is_frozen_and_of_a_role_or_a_folder(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    of_role = context.sampled_policy("base")
    of_role.save(tmp_path / "model")
    of_folder = context.sampled_policy(tmp_path / "model")
    assert largest_difference(of_role.module.state_dict(), of_folder.module.state_dict()) == 0
    for policy in (of_role, of_folder):
        assert not any(weight.requires_grad for weight in policy.module.parameters())


PROMPTS = [Prompt(f"p{i}", "red blue") for i in range(3)]


def test_a_policy_answers_each_prompt_once(tmp_path: Path) -> None:
    engine = Counting()
    responder = PolicyResponder(FakeContext(tmp_path).policy("base"), engine)
    assert len(responder.respond(PROMPTS, (1,))) == 3
    assert engine.asked == [(["p0", "p1", "p2"], 1, 0)]
