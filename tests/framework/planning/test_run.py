"""The stages that a config asks for: who needs rankings gets comparisons, and depends on them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab import Inspection, UserError
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
    ranked = list(_stages(_registry("rankings")))
    assert ranked == ["pretrain", "sft", "samples", "comparisons", "algorithm"]


def test_the_pool_is_made_only_for_who_needs_it() -> None:
    registry = _registry("prompts", "samples")
    with_pool = _stages(registry)
    assert list(with_pool) == ["pretrain", "sft", "samples", "algorithm"]
    assert with_pool["algorithm"] != _stages(registry, "samples.k=5")["algorithm"]
    with pytest.raises(UserError, match="algorithm=ppo needs responses to rank, but samples=none"):
        _stages(registry, "samples=none")


def test_other_people_rank_the_same_pool() -> None:
    registry = _registry("rankings")
    first, other = _stages(registry), _stages(registry, "labeler.noise=0.5", "comparisons.seed=7")
    same = ("pretrain", "sft", "samples")
    assert all((first[name] == other[name]) is (name in same) for name in first)


def test_the_world_counts_where_its_utility_is_asked_for(tmp_path: Path) -> None:
    """The people of the embedded world know it, wherever prompts and policy come from."""
    registry = _registry("rankings")
    component, plugin = registry._components["policy", "tiny"]
    brings_weights = dataclasses.replace(component, inspect=lambda c: Inspection(pretrained=True))
    registry._components["policy", "tiny"] = (brings_weights, plugin)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "q", "split": "train"}\n')
    words = ("sft=none", "prompts=files", f"prompts.path={tmp_path / 'prompts.jsonl'}")
    first, other = _stages(registry, *words), _stages(registry, *words, "data.seed=9")
    assert first["samples"] == other["samples"]
    assert first["comparisons"] != other["comparisons"]


def test_given_rankings_need_no_pool(tmp_path: Path) -> None:
    file = tmp_path / "rankings.jsonl"
    file.write_text('{"prompt": "q", "chosen": "a", "rejected": "b", "split": "train"}\n')
    given = ("rankings=files", f"rankings.path={file}")
    assert list(_stages(_registry("rankings"), *given)) == ["pretrain", "sft", "algorithm"]


def test_its_result_depends_on_how_they_were_made() -> None:
    registry = _registry("rankings")
    first, other = _stages(registry), _stages(registry, "samples.k=5")
    assert first["sft"] == other["sft"]
    assert first["samples"] != other["samples"]
    assert first["comparisons"] != other["comparisons"]
    assert first["algorithm"] != other["algorithm"]
    asked = _stages(registry, "labeler.noise=0.5")
    assert asked["algorithm"] != first["algorithm"]
