"""Recipe ids: equal where the result is equal, different where it may differ."""

from __future__ import annotations

import pytest

from preflab.composing.compose import parse
from preflab.planning.reading import check_jobs
from preflab.planning.run import Run


def _run(*overrides: str) -> Run:
    (job,) = check_jobs(parse(overrides))
    return job.run


def test_variants_share_upstream_stages_and_seeds_do_not() -> None:
    ppo, ptx, other = (
        _run("algorithm=ppo"),
        _run("algorithm=ppo_ptx"),
        _run("algorithm=ppo", "seed=2"),
    )
    shared = ("pretrain", "sft", "samples", "comparisons", "reward_model")
    ids = [{s.name: s.recipe_id for s in run.stages} for run in (ppo, ptx, other)]
    assert all(ids[0][name] == ids[1][name] != ids[2][name] for name in shared)
    assert ids[0]["algorithm"] != ids[1]["algorithm"]


def test_a_pinned_seed_is_shared_across_seeds() -> None:
    first, second = _run("pretrain.seed=1", "seed=1"), _run("pretrain.seed=1", "seed=2")
    assert first.stages[0].recipe_id == second.stages[0].recipe_id
    assert first.stages[1].recipe_id != second.stages[1].recipe_id


@pytest.mark.parametrize(
    "override",
    [
        "runtime.threads=1",
        "runtime.micro_batch=8",
        "checkpoint.every_seconds=1",
        "checkpoint.every_steps=5",
    ],
)
def test_settings_without_effect_change_no_recipe(override: str) -> None:
    assert [s.recipe_id for s in _run(override).stages] == [s.recipe_id for s in _run().stages]


def test_a_changed_upstream_value_changes_everything_downstream() -> None:
    before, after = _run(), _run("sft.optimizer.lr=0.123")
    changed = [
        a.name
        for a, b in zip(before.stages, after.stages, strict=True)
        if a.recipe_id != b.recipe_id
    ]
    assert changed == "sft samples comparisons reward_model algorithm evaluation".split()
