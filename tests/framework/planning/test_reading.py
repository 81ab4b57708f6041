"""From command lines to checked runs; what is wrong is refused with key and nearest name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import pytest

from preflab import Component, UserError, compose, option
from preflab.composing import compose as composition
from preflab.composing.compose import parse
from preflab.door.plugin import Plugin
from preflab.door.registry import Registry
from preflab.planning.reading import check_jobs, choose
from preflab.planning.run import Run
from preflab.settings import RunSettings


def _run(*overrides: str) -> Run:
    (job,) = check_jobs(parse(overrides))
    return job.run


def test_the_default_experiment_is_the_whole_ladder() -> None:
    names = [stage.name for stage in _run().stages]
    assert names == "pretrain sft samples comparisons reward_model algorithm evaluation".split()


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


@pytest.mark.slow
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


@pytest.mark.parametrize("key", ["runtime", "checkpoint", "artifacts"])
def test_every_setting_is_in_the_config(key: str) -> None:
    """Hydra knows the keys of the file alone: a field that is missing there is refused on the
    command line."""
    assert dict(compose([])[key]) == asdict(RunSettings())[key]


def test_a_check_of_jobs_needs_no_torch() -> None:
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


def test_a_single_job_is_composed_once_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    line = parse(["seed=5"])
    monkeypatch.setattr(composition, "hydra_compose", None)  # a call would raise
    (job,) = check_jobs(line)
    assert job.run.settings.seed == 5


class Mode(StrEnum):
    fast = "fast"
    slow = "slow"


@dataclass
class Inner:
    name: str = option("inner", "component")
    coef: float = option(1.0, "weight", ge=0)


@dataclass
class Nested:
    lr: float = option(0.1, "learning rate", gt=0)


@dataclass
class Outer:
    name: str = option("outer", "component")
    batch: int = option(8, "rows", ge=1)
    minibatch: int = option(4, "rows", ge=1)
    mode: Mode = option(Mode.fast, "mode")
    optimizer: Nested = option(factory=Nested, doc="optimizer")
    terms: dict[str, Any] = option(factory=dict, doc="terms")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.minibatch > self.batch:
            yield "minibatch", f"is {self.minibatch} but must be at most batch ({self.batch})"


def _registry() -> Registry:
    registry = Registry()
    plugin = Plugin("p", "p", "d", "1")
    for component in (
        Component("algorithm", "outer", Outer, nested={"terms": "term"}),
        Component("term", "inner", Inner),
    ):
        registry._components[component.kind, component.name] = (component, plugin)
    return registry


def _choose(**values: Any) -> Any:
    return choose(_registry(), "algorithm", {"name": "outer", **values}, "algorithm")


def test_values_are_converted_and_defaults_filled() -> None:
    config = _choose(batch="16", mode="slow", optimizer={"lr": 1}).config
    assert config == Outer(batch=16, mode=Mode.slow, optimizer=Nested(lr=1.0))


def test_nested_components_are_typed_too() -> None:
    choice = _choose(terms={"a": {"name": "inner", "coef": 2}})
    assert choice.config.terms == {"a": Inner(coef=2.0)}
    assert [c.key for c in choice.all()] == ["algorithm", "algorithm.terms.a"]


@pytest.mark.parametrize(
    "values,message",
    [
        ({"bach": 3}, r"algorithm\.bach is not an option.*Did you mean 'batch'"),
        (
            {"optimizer": {"lrr": 1}},
            r"algorithm\.optimizer\.lrr is not an option.*Did you mean 'lr'",
        ),
        (
            {"optimizer": 3},
            r"algorithm\.optimizer is 3 but holds options of its own: algorithm\.optimizer\.lr",
        ),
        ({"batch": "many"}, r"algorithm\.batch is 'many' but must be a whole number"),
        ({"mode": "quick"}, r"algorithm\.mode is 'quick'. Allowed: .*fast.*slow"),
        ({"batch": 0}, r"algorithm\.batch is 0 but must be >= 1"),
        ({"optimizer": {"lr": 0}}, r"algorithm\.optimizer\.lr is 0.0 but must be > 0"),
        ({"minibatch": 9}, r"algorithm\.minibatch is 9 but must be at most batch \(8\)"),
        ({"terms": {"a": {"name": "iner"}}}, r"no term called 'iner'.*Did you mean 'inner'"),
        (
            {"terms": {"a": {"name": "inner", "coef": -1}}},
            r"algorithm\.terms\.a\.coef is -1.0 but must be >= 0",
        ),
        (
            {"terms": {"a": {"coef": 1}}},
            r"algorithm\.terms\.a must be one term component with a 'name'",
        ),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _choose(**values)
