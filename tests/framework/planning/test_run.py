"""The stages that a config asks for: who needs rankings gets comparisons, and depends on them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab import PluginError, UserError
from preflab.composing.compose import compose
from preflab.door import discovery
from preflab.door.registry import Registry
from preflab.planning.reading import read

PROGRAMMATIC = ("reward_model=length", "algorithm=ppo", "evaluation=none")


def _registry(*needs: str) -> Registry:
    """The installed plugins, with a PPO that says it needs something else."""
    registry = discovery.load()
    component, plugin = registry._components["algorithm", "ppo"]
    registry._components["algorithm", "ppo"] = (
        dataclasses.replace(component, needs=lambda config: needs),
        plugin,
    )
    return registry


def _stages(registry: Registry, *words: str) -> dict[str, str]:
    """Recipe ids by stage."""
    config: Any = OmegaConf.to_container(compose([*PROGRAMMATIC, *words]), resolve=True)
    return {stage.name: stage.recipe_id for stage in read(config, registry).stages}


def test_an_algorithm_that_learns_from_rankings_makes_comparisons() -> None:
    assert list(_stages(_registry("prompts"))) == ["pretrain", "sft", "algorithm"]
    assert list(_stages(_registry("rankings"))) == ["pretrain", "sft", "comparisons", "algorithm"]


def test_its_result_depends_on_how_they_were_made() -> None:
    registry = _registry("rankings")
    first, other = _stages(registry), _stages(registry, "comparisons.k=5")
    assert first["sft"] == other["sft"]
    assert first["comparisons"] != other["comparisons"]
    assert first["algorithm"] != other["algorithm"]
    asked = _stages(registry, "labeler.noise=0.5")
    assert asked["algorithm"] != first["algorithm"]


def test_without_anybody_who_ranks_it_is_refused() -> None:
    with pytest.raises(
        UserError, match="algorithm=ppo needs rankings, but data=microworld has none"
    ):
        _stages(_registry("rankings"), "comparisons=none")


@pytest.mark.parametrize(
    "need, words, says",
    [
        (
            "pretrained",
            ("pretrain=none",),
            "needs a policy with pretrained weights, but policy=tiny starts from random ones",
        ),
        ("labeler", ("labeler=none",), "asks people, but labeler=none"),
        (
            "gold",
            (
                "data=files",
                "data.documents={file}",
                "data.prompts={file}",
                "policy.tokenizer=bytes",
                "sft=none",
            ),
            "true utility",
        ),
        ("reward_model", ("reward_model=none",), "needs a reward model, but reward_model=none"),
        (
            "demonstrations",
            ("data=files", "data.documents={file}", "data.prompts={file}", "sft=none"),
            "needs demonstrations",
        ),
    ],
)
def test_what_is_missing_is_said_before_any_work(
    tmp_path: Path, need: str, words: tuple[str, ...], says: str
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "text": "a b"}\n')
    with pytest.raises(UserError, match=says):
        _stages(_registry(need), *(word.format(file=tmp_path / "rows.jsonl") for word in words))


def test_a_need_that_does_not_exist_is_the_plugins_mistake() -> None:
    with pytest.raises(
        PluginError, match=r"needs 'ranking', which is not a valid need.*Did you mean 'rankings'"
    ):
        _stages(_registry("ranking"))
