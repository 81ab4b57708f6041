"""A run: one composed config as typed choices, and the plan of stages that follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from preflab.components import NEEDS, Inspection
from preflab.composing.composition import COMPONENT_GROUPS
from preflab.door.choice import Choice
from preflab.door.registry import Registry
from preflab.engine.loop import CheckpointConfig
from preflab.errors import PluginError, UserError, nearest
from preflab.options import option, problems, typed
from preflab.planning import recipes
from preflab.planning.choosing import choose
from preflab.records import RECORD_TYPES
from preflab.runtime import RuntimeConfig
from preflab.study import StudyConfig

T = TypeVar("T")


@dataclass
class ArtifactsConfig:
    """Where results are kept."""

    dir: str = option("artifacts", "folder of artifacts, shared by all runs", affects_result=False)
    reuse: bool = option(
        True,
        "take a stage's artifact if it exists; false makes every stage again",
        affects_result=False,
    )


@dataclass
class RunSettings:
    """The keys of a config that are not component groups."""

    seed: int = option(1, "feeds every stage that does not pin its own", ge=0)
    arm: str = option("", "name of this variant in a study's report", affects_result=False)
    fast: bool = option(
        False, "every stage in a few steps (debug=fast): does it run, never is it good"
    )
    runtime: RuntimeConfig = option(factory=RuntimeConfig, doc="devices and threads")
    checkpoint: CheckpointConfig = option(factory=CheckpointConfig, doc="when to save")
    artifacts: ArtifactsConfig = option(factory=ArtifactsConfig, doc="where results are kept")


DIFFERENT_TOKENIZERS = (
    "The tokenizers of policy and reward_model differ: token ids of one mean other words to the other. Train the reward model "
    "from this policy (reward_model=kwise), or name the policy it was trained from."
)


@dataclass(frozen=True)
class StageSpec:
    """A stage of the graph. reads: record types its result depends on even if its component does not say that it needs them;
    uses: the groups whose result or choice it uses."""

    name: str
    reads: tuple[str, ...]
    uses: tuple[str, ...]


GRAPH = (
    StageSpec("pretrain", ("documents",), ("policy",)),
    StageSpec("sft", ("demonstrations", "documents"), ("policy", "pretrain")),
    StageSpec("comparisons", ("prompts",), ("policy", "pretrain", "sft", "rollout", "labeler")),
    StageSpec(
        "reward_model", ("rankings", "demonstrations"), ("policy", "pretrain", "sft", "comparisons")
    ),
    StageSpec("select", ("prompts",), ("policy", "pretrain", "sft", "rollout", "reward_model")),
    StageSpec(
        "algorithm",
        RECORD_TYPES,
        (
            "policy",
            "pretrain",
            "sft",
            "comparisons",
            "labeler",
            "select",
            "rollout",
            "reward_model",
        ),
    ),
    StageSpec(
        "evaluation",
        RECORD_TYPES,
        (
            "policy",
            "pretrain",
            "sft",
            "comparisons",
            "labeler",
            "reward_model",
            "select",
            "algorithm",
            "rollout",
        ),
    ),
)
"""The ladder, upstream first. A stage's name is its config group and its component's kind."""


@dataclass(frozen=True)
class Stage:
    """A stage that this run needs. recipe_id: hash of everything that determines the result."""

    name: str
    choice: Choice
    seed: int
    recipe: Mapping[str, Any]
    recipe_id: str


@dataclass(frozen=True)
class Run:
    """A checked config: choices by config group, filters in order, settings, and the stages in the order of making."""

    choices: Mapping[str, Choice]
    filters: tuple[Choice, ...]
    settings: RunSettings
    registry: Registry
    stages: tuple[Stage, ...] = field(default=())
    study: StudyConfig | None = None

    def source(self, record_type: str) -> Choice:
        """The data component that gives a record type."""
        return self.choices.get(record_type, self.choices["data"])

    def counts(self) -> dict[str, int]:
        """Number of records by type, as their sources count them before filters; a missing key: no such records."""
        found: dict[str, int] = {}
        for record_type in RECORD_TYPES:
            source = self.source(record_type)
            records = inspect(source).records
            if record_type in records:
                found[record_type] = records[record_type]
        return found

    def stage(self, name: str) -> Stage | None:
        """The stage of that name, if this run has it."""
        return next((s for s in self.stages if s.name == name), None)


def inspect(choice: Choice) -> Inspection:
    """What a component's outside inputs are."""
    return choice.inspect()


Known = dict[tuple[Any, ...], Any]
"""Typed configs by what they were made of: the jobs of a study have most of them in common."""


def _once(known: Known, key: tuple[Any, ...], values: Any, make: Callable[[], T]) -> T:
    """What ``make`` makes of the values, or made of the same ones before."""
    whole = (*key, json.dumps(values, default=repr))
    if whole not in known:
        known[whole] = make()
    made: T = known[whole]
    return made


def read(config: Mapping[str, Any], registry: Registry, known: Known | None = None) -> Run:
    """A run from plain config values; `UserError` for anything that is wrong, before any work. known: kept by whoever reads many
    runs, which share their typed configs then."""
    known = {} if known is None else known
    groups = set(COMPONENT_GROUPS) | {"filters"}
    settings_keys = set(RunSettings.__dataclass_fields__)
    for key in config:
        if key not in groups | settings_keys | {"study"}:
            raise UserError(f"{key} is not an option. {nearest(str(key), groups | settings_keys)}")
    settings = typed(RunSettings, {k: v for k, v in config.items() if k in settings_keys}, "")
    declared = config.get("study")
    study = (
        _once(known, ("study",), declared, lambda: typed(StudyConfig, declared, "study"))
        if declared
        else None
    )
    wrong = [*problems(settings), *(problems(study, "study.") if study else ())]
    if wrong:
        raise UserError("\n".join(f"{name} {message}" for name, message in wrong))
    missing = [g for g in COMPONENT_GROUPS if g not in RECORD_TYPES and config.get(g) is None]
    if missing:
        raise UserError(
            f"The config chooses no {missing[0]}: give {missing[0]}=NAME. {nearest('', registry.names(missing[0]))}"
        )
    given = {g: kind for g, kind in COMPONENT_GROUPS.items() if config.get(g) is not None}
    choices: dict[str, Choice] = {}
    for g, kind in given.items():
        choosing = partial(choose, registry, kind, config[g], g, settings.fast)
        choices[g] = _once(known, (kind, g, settings.fast), config[g], choosing)
    filters = tuple(
        choose(registry, "filter", node, f"filters.{k}")
        for k, node in (config.get("filters") or {}).items()
    )
    run = Run(choices, filters, settings, registry)
    check(run)
    return Run(choices, filters, settings, registry, tuple(_plan(run)), study)


def check(run: Run) -> None:
    """Refuse components that do not fit each other, naming the key to change."""
    counts = run.counts()
    for record_type, number in counts.items():
        if number == 0:
            raise UserError(
                f"{run.source(record_type).key}: there are no {record_type} in it, the set is empty."
            )
    for name in wanted(run):
        for need in sorted(run.choices[name].needs()):
            _check_need(run, name, need, counts)
    policy, reward = (
        inspect(run.choices["policy"]).tokenizer,
        inspect(run.choices["reward_model"]).tokenizer,
    )
    if policy and reward and policy != reward:
        raise UserError(DIFFERENT_TOKENIZERS)


def _check_need(run: Run, name: str, need: str, counts: Mapping[str, int]) -> None:
    if need not in NEEDS:
        raise PluginError(
            f"{name}={run.choices[name].name} needs '{need}', which is no need. {nearest(need, NEEDS)}"
        )
    lacks = _LACKS[need](run, name) if need in _LACKS else _lacks_records(run, need, counts, name)
    if lacks:
        raise UserError(f"{name}={run.choices[name].name} {lacks}")
    if need == "labeler":
        for more in sorted(run.choices["labeler"].needs()):
            _check_need(run, "labeler", more, counts)


def _lacks_reward_model(run: Run, name: str) -> str:
    if run.choices["reward_model"].name != "none":
        return ""
    allowed = ", ".join(n for n in run.registry.names("reward_model") if n != "none")
    return f"needs a reward model, but reward_model=none. Allowed: {allowed}."


def _lacks_people(run: Run, name: str) -> str:
    none = run.choices["labeler"].name == "none"
    return f"asks people, but labeler=none: give rankings, or choose {name}=none." if none else ""


def _lacks_gold(run: Run, name: str) -> str:
    data = run.choices["data"]
    if inspect(data).gold:
        return ""
    return (
        f"needs the true utility of responses, which only a simulated world knows, and data={data.name} is none. "
        "Use data=microworld, give rankings=files, or leave it out."
    )


def _lacks_pretraining(run: Run, name: str) -> str:
    policy = run.choices["policy"]
    if inspect(policy).pretrained or run.choices["pretrain"].component.procedure is not None:
        return ""
    return (
        f"needs a policy with pretrained weights, but policy={policy.name} starts from random ones and pretrain=none. "
        "Use pretrain=documents or policy=pretrained policy.path=FOLDER."
    )


def _lacks_records(run: Run, record_type: str, counts: Mapping[str, int], name: str) -> str:
    made = record_type == "rankings" and run.choices["comparisons"].component.procedure is not None
    if record_type in counts or made:
        return ""
    return (
        f"needs {record_type}, but {run.source(record_type).key}={run.source(record_type).name} has none. "
        f"Give them with {record_type}=files {record_type}.path=FILE, or choose {name}=none."
    )


_LACKS: Mapping[str, Callable[[Run, str], str]] = {
    "reward_model": _lacks_reward_model,
    "labeler": _lacks_people,
    "gold": _lacks_gold,
    "pretrained": _lacks_pretraining,
}
"""By need: what the run lacks for the component in this place; "" if nothing."""


def wanted(run: Run) -> list[str]:
    """Names of the stages to make: the chosen components that have a procedure; pretraining only without pretrained
    weights, comparisons only if somebody needs rankings that the data does not give."""
    names = [spec.name for spec in GRAPH if run.choices[spec.name].component.procedure is not None]
    if inspect(run.choices["policy"]).pretrained and "pretrain" in names:
        names.remove("pretrain")
    asked = any("rankings" in run.choices[name].needs() for name in names)
    if "comparisons" in names and ("rankings" in run.counts() or not asked):
        names.remove("comparisons")
    return names


def _plan(run: Run) -> list[Stage]:
    stages: list[Stage] = []
    names = set(wanted(run))
    for spec in GRAPH:
        if spec.name in names:
            choice = run.choices[spec.name]
            seed = (
                choice.config.seed
                if getattr(choice.config, "seed", None) is not None
                else run.settings.seed
            )
            recipe = _recipe(run, spec, seed, {s.name: s.recipe_id for s in stages})
            stages.append(Stage(spec.name, choice, seed, recipe, recipes.digest(recipe)))
    return stages


def _recipe(run: Run, spec: StageSpec, seed: int, upstream: Mapping[str, str]) -> dict[str, Any]:
    packages = {
        plugin.module.split(".")[0] for plugin in run.registry.plugins if not plugin.problem
    }
    choice = run.choices[spec.name]
    needs, counts = choice.needs(), run.counts()
    reads: list[str] = [
        t
        for t in RECORD_TYPES
        if t in counts and (t in needs or (t in spec.reads and t != "documents"))
    ]
    if spec.name == "pretrain" or not inspect(run.choices["policy"]).pretrained:
        reads.append("data")
    groups = [
        *spec.uses,
        *(["comparisons"] if "rankings" in needs and "comparisons" not in spec.uses else []),
    ]
    uses = {
        g: upstream[g] if g in upstream else recipes.identity(run.choices[g], packages)
        for g in groups
    }
    data = {t: run.choices["data"] if t == "data" else run.source(t) for t in sorted(set(reads))}
    component = recipes.identity(choice, packages)
    component["config"].pop(
        "seed", None
    )  # the recipe holds it resolved: pinned or the run's, the result is the same
    return {
        "format": recipes.FORMAT,
        "stage": spec.name,
        "component": component,
        "seed": seed,
        "uses": uses,
        "data": {t: recipes.identity(source, packages) for t, source in data.items()},
        "filters": [recipes.identity(f, packages) for f in run.filters],
        "framework": recipes.framework_digest(),
        "runtime": {
            "precision": run.settings.runtime.precision.value,
            "deterministic": run.settings.runtime.deterministic,
        },
    }


def store_root(run: Run) -> Path:
    """The folder of artifacts."""
    return Path(run.settings.artifacts.dir)
