"""The stages that a config asks for: who needs rankings gets comparisons, and depends on them."""

from __future__ import annotations

import dataclasses
from typing import Any

from omegaconf import OmegaConf

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
