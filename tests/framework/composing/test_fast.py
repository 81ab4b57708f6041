"""`debug=fast`: small values, unless the command line says otherwise. That runs are small in every
stage is in tests/end_to_end/test_experiments.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab import compose
from preflab.composing.compose import compose as compose_with
from preflab.composing.compose import parse
from preflab.composing.search_path import config_root, sweeps_root
from preflab.planning.reading import check_jobs, job_of


def _values(*words: str, keys: tuple[str, ...]) -> list[Any]:
    config = compose(list(words))
    return [OmegaConf.select(config, key) for key in keys]


PPO = ("algorithm.episodes", "algorithm.batch", "algorithm.minibatch")


def test_fields_have_small_values() -> None:
    """Also within others, and where null means no limit."""
    keys = (*PPO, "sft.steps", "evaluation.evaluators.families.per_family", "algorithm.kl.coef")
    assert _values("debug=fast", keys=keys) == [16, 8, 4, 2, 4, 0.1]
    assert _values(keys=keys) == [2560, 128, 32, None, 64, 0.1]
    in_a_list = ("filters.likelihood.steps",)
    assert _values("debug=fast", "filters=likelihood", keys=in_a_list) == [2]


def test_a_small_value_is_never_larger_than_the_one_before() -> None:
    """This evaluation answers no prompts, and needs none."""
    words = ("evaluation=reward_model", "debug=fast")
    assert _values(*words, keys=("evaluation.prompts",)) == [0]


@pytest.mark.parametrize("place", [0, 1])
def test_the_command_line_counts_in_any_order(place: int) -> None:
    words = ["rollout.max_tokens=20", "evaluation={prompts:3}", "sft.batch=2"]
    words.insert(place * len(words), "debug=fast")
    keys = ("rollout.max_tokens", "evaluation.prompts", "sft.batch", "sft.steps")
    assert _values(*words, keys=keys) == [20, 3, 2, 2]


def test_the_others_grow_until_they_fit_what_was_given() -> None:
    """episodes must be at least batch, which minibatch must divide; warm-up must end in time."""
    assert _values("debug=fast", "algorithm.batch=64", keys=PPO) == [64, 64, 16]
    assert _values("debug=fast", "algorithm.minibatch=16", keys=PPO) == [32, 16, 16]
    keys = ("sft.steps", "sft.optimizer.warmup")
    assert _values("debug=fast", "sft.optimizer.warmup=5", keys=keys) == [8, 5]


def test_what_a_study_sweeps_is_small_and_what_its_user_sweeps_is_not(tmp_path: Path) -> None:
    study = (
        "defaults: [config, _self_]\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
        "      algorithm.episodes: 640,1280\n      seed: 1\n"
    )
    (tmp_path / "mine.yaml").write_text(study)

    def episodes(*words: str) -> list[int]:
        jobs = check_jobs(parse(["-cd", str(tmp_path), "-cn", "mine", "debug=fast", *words]))
        return [job.run.choices["algorithm"].config.episodes for job in jobs]

    assert episodes() == [16, 16]
    assert episodes("algorithm.episodes=24,32") == [24, 32]


def test_what_is_shown_is_what_runs() -> None:
    job = job_of(compose_with(["debug=fast", "algorithm.batch=16"], with_hydra=True))
    shown = compose(["debug=fast", "algorithm.batch=16"]).algorithm
    ran = job.run.choices["algorithm"].config
    for field in ("episodes", "batch", "minibatch"):
        assert getattr(ran, field) == shown[field] == job.config["algorithm"][field]


EXPERIMENTS = sorted(path.stem for path in (config_root() / "experiment").glob("*.yaml"))
ALGORITHMS = sorted(path.stem for path in (config_root() / "algorithm").glob("*.yaml"))
MOST = {
    "steps": 3,
    "epochs": 1,
    "batch": 8,
    "episodes": 16,
    "minibatch": 4,
    "prompts": 12,
    "validation_prompts": 4,
    "n": 2,
    "pool": 4,
    "per_family": 4,
    "rankings": 4,
    "centre_on": 2,
    "max_tokens": 32,
    "window": 64,
    "ratio": 1,
    "mix_windows": 1,
    "mix_window": 32,
}
"""Most that a field of that name may be: what a step, or an evaluation, costs grows with it."""


def _too_large(config: Any, above: str) -> list[str]:
    names = vars(config).items() if not isinstance(config, dict) else config.items()
    found = []
    for name, value in names:
        if hasattr(value, "__dataclass_fields__") or isinstance(value, dict):
            found += _too_large(value, f"{above}.{name}")
        elif f"{above}.{name}" in ("reward_model.max_tokens", "algorithm.max_tokens"):
            continue  # shorter responses may be equal, which is refused
        elif name in MOST and (value is None or value > MOST[name]):
            found.append(f"{above}.{name}={value}")
    return found


@pytest.mark.parametrize(
    "words",
    [
        *((f"experiment={name}",) for name in EXPERIMENTS),
        *((f"algorithm={name}",) for name in ALGORITHMS),
    ],
)
def test_every_stage_of_every_experiment_is_small(words: tuple[str, ...]) -> None:
    """Without the data of an experiment, which is not shipped: each stage's component alone."""
    from preflab.composing.search_path import registry
    from preflab.planning.reading import choose

    config = OmegaConf.to_container(compose(["debug=fast", *words]), resolve=True)
    assert isinstance(config, dict)
    for spec in registry().stage_graph:
        config[spec.group].pop("path", None)
        choice = choose(registry(), spec.kind, config[spec.group], spec.group)
        assert _too_large(choice.config, spec.group) == []


def test_studies_are_small() -> None:
    for path in sorted(sweeps_root().glob("*.yaml")):
        config = compose(["debug=fast"], path.stem)
        if config.algorithm.name in ("ppo", "terms_only"):
            assert config.algorithm.episodes <= 16
