"""The presets compose to typed configs, and what they need follows from their evaluators."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab.composing import compose as composition
from preflab.composing import search_path
from preflab.door.choice import Choice
from preflab.errors import UserError
from preflab.planning.choosing import choose, needs
from preflab_builtin.evaluation.config import SuiteConfig


def _choice(name: str, *overrides: str, fast: bool = False) -> Choice:
    config: Any = OmegaConf.to_container(
        composition.compose(overrides, f"evaluation/{name}"), resolve=True
    )
    return choose(search_path.registry(), "evaluation", config["evaluation"], "evaluation", fast)


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
    ]
    assert choice.config.prompts == 400
    assert needs(choice) == {"prompts", "documents", "rankings", "reward_model", "labeler", "gold"}


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
    ]
    assert needs(choice) == {"prompts", "labeler", "gold"}


def test_the_reward_model_preset_samples_nothing() -> None:
    choice = _choice("reward_model")
    assert choice.config.prompts == 0
    assert needs(choice) == {"rankings", "reward_model"}


def test_fast_makes_everything_small() -> None:
    config = _choice("ladder", fast=True).config
    assert (config.prompts, config.evaluators["families"].per_family) == (8, 4)


def test_none_is_no_stage() -> None:
    assert _choice("none").component.procedure is None


def test_a_typo_in_an_evaluator_names_its_key() -> None:
    with pytest.raises(UserError, match=r"per_familly"):
        _choice("ladder", "evaluation.evaluators.families.per_familly=3")
    with pytest.raises(UserError, match=r"evaluation\.prompts"):
        _choice("ladder", "evaluation.prompts=0")
