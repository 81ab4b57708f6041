"""Composition: what command lines mean, and that what is wrong is refused with key, choices and
nearest name."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from preflab import UserError, compose
from preflab.composing import compose as composition
from preflab.composing.compose import compose as compose_with
from preflab.composing.compose import compose_all, parse, resolved
from preflab.composing.search_path import (
    config_root,
    hydra_initialised,
    registry,
    sweeps_root,
)
from preflab.composing.untrusted import refuse_code_in_config
from preflab.options import schema_of
from preflab.planning.reading import check_jobs
from preflab.planning.run import Run
from preflab.settings import RunSettings


def _run(*overrides: str) -> Run:
    (job,) = check_jobs(parse(overrides))
    return job.run


def test_the_default_experiment_is_the_whole_ladder() -> None:
    names = [stage.name for stage in _run().stages]
    assert names == ["pretrain", "sft", "comparisons", "reward_model", "algorithm", "evaluation"]


def test_compose_gives_notebooks_the_same_config() -> None:
    assert compose(["algorithm=ppo", "seed=7"]).seed == 7


@pytest.mark.parametrize(
    "override,message",
    [
        ("algorithm=pp", "There is no algorithm 'pp'.*Did you mean 'ppo'"),
        ("algorithm.klx.coef=1", "klx.*is not an option.*Did you mean 'kl'"),
        ("algoritm=ppo", "algoritm"),
        ("algorithm.episodes=many", "many"),
        ("algorithm.advantage.gamma=2", r"algorithm\.advantage\.gamma is 2.0 but must be <= 1"),
        ("seed=-1", "seed is -1 but must be >= 0"),
        ("policy.layers=0", r"policy\.layers is 0 but must be >= 1"),
        ("+sead=3", "sead is not an option.*Did you mean 'seed'"),
        ("reward_model=none", "needs a reward model, but reward_model=none"),
        ("algorithm.minibatch=100000", r"algorithm\.minibatch"),
        ("rankings=files", r"rankings"),
    ],
)
def test_wrong_input_is_refused_with_the_key(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        _run(override)


def test_sweeps_expand_to_jobs() -> None:
    line = parse(["-m", "algorithm=ppo,ppo_ptx", "seed=1,2"])
    assert line.multirun
    assert line.jobs == tuple(
        (f"algorithm={a}", f"seed={s}") for a in ("ppo", "ppo_ptx") for s in (1, 2)
    )


def test_a_study_is_a_multirun_of_its_arms() -> None:
    line = parse(["-cn", "ladder", "seed=1,2"])
    assert line.multirun
    assert len(line.jobs) == 10  # 5 arms x 2 seeds
    assert {job.run.settings.arm for job in check_jobs(line)} == {
        "base",
        "SFT",
        "best-of-n",
        "PPO",
        "PPO-ptx",
    }


@pytest.mark.parametrize(
    "command",
    [
        "-cn kl_versus_ptx",
        "-cn labeler_folds",
        # Hydra's own part; an addition, a deletion, a dict, a component inside another
        "-m seed=1,2 hydra.job.chdir=false algorithm=ppo,none",
        "-m seed=1,2 algorithm=ppo +filters.more.name=deduplicate ~evaluation.evaluators.kl "
        "algorithm.clip={ratio:0.3}",
        "-m algorithm=ppo_ptx +reward_shaping@algorithm.shaping.soft=soft_clip seed=3,4",
    ],
)
def test_jobs_composed_together_are_what_hydra_composes_alone(command: str) -> None:
    line = parse(command.split())
    assert len(line.jobs) > 1
    chosen = (line.jobs[0], line.jobs[1], line.jobs[-1])
    for job, together in zip(chosen, compose_all(chosen, line.config_name), strict=True):
        alone = compose_with(job, line.config_name, with_hydra=True)
        assert resolved(together) == resolved(alone)
        assert together.hydra.overrides.task == alone.hydra.overrides.task


def test_what_is_wrong_with_a_job_is_told_as_hydra_tells_it() -> None:
    for words in (
        ["sft.lrr=1"],
        ["seed=1", "nothing@there=1"],
        ["algorithm=pppo"],
        ["+seed=2"],
        ["~absent"],
        ["sft.lr=fast"],
    ):
        with pytest.raises(UserError) as alone:
            compose_with(words, with_hydra=True)
        with pytest.raises(UserError) as together:
            list(compose_all([["seed=1"], words], "config"))
        assert str(together.value) == str(alone.value)


@pytest.mark.reliability
def test_every_study_composes_with_all_its_seeds() -> None:
    for study in sweeps_root().glob("*.yaml"):
        assert check_jobs(parse(["-cn", study.stem]))


def test_upstream_stages_are_shared_by_variants_and_split_by_seed() -> None:
    ppo, ptx, other = (
        _run("algorithm=ppo"),
        _run("algorithm=ppo_ptx"),
        _run("algorithm=ppo", "seed=2"),
    )
    shared = ("pretrain", "sft", "comparisons", "reward_model")
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
def test_what_changes_no_number_changes_no_recipe(override: str) -> None:
    assert [s.recipe_id for s in _run(override).stages] == [s.recipe_id for s in _run().stages]


@pytest.mark.parametrize("key", ["runtime", "checkpoint", "artifacts"])
def test_every_setting_stands_in_the_config_and_so_can_be_overridden(key: str) -> None:
    """Hydra knows the keys of the file alone: a field that is missing there is refused on the
    command line."""
    assert dict(compose([])[key]) == asdict(RunSettings())[key]


def test_a_changed_upstream_value_changes_everything_downstream() -> None:
    before, after = _run(), _run("sft.optimizer.lr=0.123")
    changed = [
        a.name
        for a, b in zip(before.stages, after.stages, strict=True)
        if a.recipe_id != b.recipe_id
    ]
    assert changed == ["sft", "comparisons", "reward_model", "algorithm", "evaluation"]


@pytest.mark.parametrize(
    "text,key",
    [
        ("hydra:\n  callbacks:\n    x:\n      _target_: os.getcwd\n", "hydra.callbacks.x._target_"),
        (
            "hydra:\n  job_logging:\n    formatters:\n      x:\n        (): os.getcwd\n",
            r"hydra.job_logging.formatters.x.\(\)",
        ),
        (
            "hydra:\n  job_logging:\n    handlers:\n      x:\n        class: os.getcwd\n",
            "hydra.job_logging.handlers.x.class",
        ),
        ("study:\n  _target_: os.getcwd\n", "study._target_"),
    ],
)
def test_a_foreign_config_that_would_run_code_is_refused(
    tmp_path: Path, text: str, key: str
) -> None:
    (tmp_path / "foreign.yaml").write_text(f"defaults:\n  - config\n  - _self_\n{text}")
    config = compose_with([], "foreign", True, str(tmp_path))
    with pytest.raises(UserError, match=key):
        refuse_code_in_config(config)


def test_no_config_of_ours_names_a_python_object() -> None:
    for path in [*config_root().rglob("*.yaml"), *sweeps_root().rglob("*.yaml")]:
        assert "_target_" not in path.read_text(encoding="utf8"), path


def test_a_check_of_jobs_needs_neither_torch_nor_transformers() -> None:
    code = (
        "import sys\n"
        "from preflab.planning.reading import check_jobs\n"
        "from preflab.composing.compose import parse\n"
        "check_jobs(parse([]))\n"
        "heavy = {'torch', 'transformers', 'accelerate', 'numpy', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_schema_is_made_when_a_config_asks_for_it_and_only_once() -> None:
    schema_of.cache_clear()
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
    asked = {
        "data",
        "policy",
        "pretrain",
        "sft",
        "labeler",
        "select",
        "rollout",
        "evaluation",
        "algorithm",
        "reward_model",
    }
    # And the four filters of the standard preparation.
    assert made.misses == len(asked | {"comparisons"}) + 4
    assert config.policy.layers == 99 != compose().policy.layers


def test_completion_offers_every_group_and_every_schema() -> None:
    with hydra_initialised() as loader:
        kinds = {component.kind for component, _ in registry().components()}
        assert {*registry().stage_graph.groups, *kinds, "schema"} <= set(loader.list_groups(""))
        assert set(loader.list_groups("schema")) == kinds
        assert loader.get_group_options("schema/policy") == registry().names("policy")


def test_a_single_job_is_composed_once_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    line = parse(["seed=5"])
    monkeypatch.setattr(composition, "hydra_compose", None)  # a call would raise
    (job,) = check_jobs(line)
    assert job.run.settings.seed == 5
