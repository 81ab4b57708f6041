"""What is said of groups before the first stage; test_heads.py has what is said of heads."""

from __future__ import annotations

from pathlib import Path

from preflab.records import Prompt, Ranking
from preflab_builtin.groups.config import KwiseGroupsConfig, Weighing
from preflab_builtin.groups.preflight import few_pairs, kwise_groups
from preflab_builtin.reward_model.config import KwiseConfig
from support import FakeContext


def test_of_many_small_groups_the_smallest_are_named() -> None:
    counts = {f"g{i}": 100 - i for i in range(20)} | {"many": 200}
    (said,) = few_pairs(counts, Weighing())
    assert ": g19 81, g18 82," in said
    assert "g12 88, and 12 more of 21 groups. What" in said


def test_the_plan_reckons_the_training_of_heads_as_of_one() -> None:
    config = KwiseGroupsConfig(kwise=KwiseConfig(epochs=1, batch=8))
    assert config.load(64, {"rankings": 8}) == config.kwise.load(64, {"rankings": 8})


def test_groups_whose_rankings_are_all_held_out_are_told(tmp_path: Path) -> None:
    def by(*groups: str) -> list[Ranking]:
        return [Ranking(Prompt("1", "say"), ("yes", "no"), ((0, 1),), g, g) for g in groups]

    context = FakeContext(tmp_path, by("few", "many"))
    config = KwiseGroupsConfig(kwise=KwiseConfig())
    assert not any("No head" in notice for notice in kwise_groups(config, context))
    splits = {"train": by("few", "many"), "validation": by("few", "new"), "test": by("")}
    context.rankings = lambda split: splits[split]  # type: ignore[method-assign]
    (notice,) = (said for said in kwise_groups(config, context) if "No head" in said)
    assert notice.startswith("No head for new: ")
