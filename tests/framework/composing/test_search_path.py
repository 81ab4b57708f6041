"""What Hydra finds: groups, schemas and their presets."""

from __future__ import annotations

from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton

from preflab import compose
from preflab.composing.loading import KEPT
from preflab.composing.search_path import (
    config_root,
    hydra_initialised,
    options,
    registry,
    sweeps_root,
)
from preflab.options import schema_of


def test_a_schema_is_made_once_and_only_if_asked_for() -> None:
    schema_of.cache_clear()
    KEPT.clear()
    for _ in range(2):
        config = compose(
            [
                "filters=standard",
                "evaluation=none",
                "algorithm=none",
                "reward_model=none",
                "comparisons=none",
            ]
        )
        config.policy.layers = 99  # a copy: the next one has the preset's value again
    made = schema_of.cache_info()
    asked = ["data", "policy", "pretrain", "sft", "labeler", "select", "rollout"]
    asked += ["evaluation", "algorithm", "reward_model", "comparisons", "samples"]
    classes = {registry().component(kind, config[kind].name).config_class for kind in asked}
    assert made.misses == len(classes) + 5  # and the standard filters (3) and trackers (2)
    assert config.policy.layers == 99 != compose().policy.layers


def test_completion_offers_every_group_and_every_schema() -> None:
    with hydra_initialised() as loader:
        kinds = {component.kind for component, _ in registry().components()}
        assert {*registry().stage_graph.groups, *kinds, "schema"} <= set(loader.list_groups(""))
        assert set(loader.list_groups("schema")) == kinds
        assert loader.get_group_options("schema/policy") == registry().names("policy")


def test_a_component_without_a_preset_is_an_option_too() -> None:
    names = options("algorithm")
    presets = {path.stem for path in (config_root() / "algorithm").glob("[!_]*.yaml")}
    assert presets | set(registry().names("algorithm")) == set(names)
    assert "none" in names


def test_what_was_initialised_before_is_there_afterwards() -> None:
    with hydra_initialised() as outer:
        options("policy")
        assert GlobalHydra.instance().config_loader() is outer


def test_hydra_finds_our_studies_after_a_launcher_restored_its_state() -> None:
    """The joblib launcher does so in this process when n_jobs=1: a study's later blocks of seeds
    are composed after that. The state that it keeps has no plugins."""
    state = Singleton.get_state()
    Singleton.set_state(state)
    with hydra_initialised() as loader:
        sources = [source.path for source in loader.get_search_path().get_path()]
        assert f"file://{sweeps_root()}" in sources
        assert set(registry().names("policy")) <= set(loader.get_group_options("policy"))
