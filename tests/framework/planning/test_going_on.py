"""Training goes on only from what was made from the same stages and records, with the same seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from preflab import Component, Inspection, UserError, option
from preflab.door.choice import Choice
from preflab.door.plugin import Plugin
from preflab.planning.going_on import check_going_on
from preflab.planning.run import Stage
from preflab.storage.artifacts import MANIFEST
from preflab.storage.durable import write_sealed


@dataclass
class Config:
    name: str = option("c", "component")
    folder: str = option("", "artifact")


MADE = {"sft": "a", "reward_model": "b same"}
"""Recipe ids, one with a digest of the options of use."""
ENGINE = {"config": {"temperature": 1.0}, "content": [], "code": "x"}


def recipe(**changes: Any) -> dict[str, Any]:
    world = {"config": {"seed": 0}, "content": [], "code": "x"}
    facts = {"seed": 1, "framework": "f", "filters": [], "data": {"prompts": world}}
    return {**facts, "uses": {**MADE, "rollout": ENGINE}, **changes}


def stage(folder: Path, then: dict[str, Any], now: dict[str, Any], going: bool = True) -> Stage:
    """A stage with a recipe that goes on from an artifact with another one."""
    write_sealed(folder / MANIFEST, {"recipe": then})
    component = Component(
        "algorithm", "c", Config, inspect=lambda config: Inspection(goes_on=config.folder)
    )
    config = Config(folder=str(folder) if going else "")
    choice = Choice("algorithm", component, Plugin("p", "m", "d", "1"), config)
    return Stage("algorithm", choice, now["seed"], now, "id", "result", None)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"uses": {**MADE, "rollout": {**ENGINE, "code": "y"}}},
        {"data": {}},  # a term that reads documents was left out or added
        {"data": {"prompts": {"config": {"seed": 0}, "content": [], "code": "y"}}},
        {"framework": "g", "uses": {"sft": "z"}},  # contents are compared later
        {"framework": "g", "uses": {"sft": "z", "reward_model": "z same"}},
    ],
)
def test_what_goes_on(tmp_path: Path, changes: dict[str, Any]) -> None:
    check_going_on(stage(tmp_path, recipe(), recipe(**changes)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 2}, "training with seed 1, and this run has 2: give seed=1"),
        ({"uses": {**MADE, "reward_model": "c same"}}, "made with another reward_model than"),
        ({"uses": {**MADE, "reward_model": "b other"}}, "made with another use of reward_model"),
        # The ids differ because the code does, which says nothing of the options.
        ({"framework": "g", "uses": {"reward_model": "c other"}}, "another use of reward_model"),
        ({"uses": {"sft": "a"}}, "made with another reward_model than"),
        (
            {"uses": {**MADE, "rollout": {**ENGINE, "config": {"temperature": 0.5}}}},
            "made with another rollout than",
        ),
        (
            {"data": {"prompts": {"config": {"seed": 1}, "content": [], "code": "x"}}},
            "made with another prompts than",
        ),
        ({"filters": [{"config": {"name": "x"}, "content": []}]}, "made with another filters than"),
    ],
)
def test_what_does_not(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_going_on(stage(tmp_path, recipe(), recipe(**changes)))
    check_going_on(stage(tmp_path, recipe(), recipe(**changes), going=False))
