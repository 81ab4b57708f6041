"""From the jobs of a command line to checked runs: each composed config becomes typed choices,
which are cross-checked, and stages with recipe ids, before the first job starts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from omegaconf import DictConfig

from preflab.composing.compose import CommandLine, composed, resolved
from preflab.composing.hydra_settings import refuse_settings
from preflab.composing.search_path import COMMAND_LINE, hydra_initialised, options, registry
from preflab.composing.untrusted import refuse_code_in_config
from preflab.door.blame import blamed
from preflab.door.choice import Choice
from preflab.door.registry import Registry
from preflab.errors import UserError, nearest
from preflab.kinds import LISTS
from preflab.options import problems, taken, typed
from preflab.planning.asking import inspect
from preflab.planning.checks import check
from preflab.planning.going_on import check_going_on
from preflab.planning.objectives import check_decisive, check_objective, only_wanted
from preflab.planning.recipes import digest, recipe, waits_for
from preflab.planning.refusals import Refusals
from preflab.planning.run import Run, Stage
from preflab.precision import decided
from preflab.runtime import Precision, with_launched_device
from preflab.settings import RunSettings
from preflab.study import StudyConfig

T = TypeVar("T")
Known = dict[tuple[Any, ...], Any]
"""Typed configs by what they were made of: the jobs of a study have most of them in common."""


@dataclass(frozen=True)
class Job:
    """One job: its checked run, and what it came from. composed: the config with Hydra's own part;
    config: the rest of it as plain values; config_dir: of the command line, "" if none;
    output_subdir: where Hydra writes the config, in the run's folder."""

    run: Run
    config: Mapping[str, Any]
    config_name: str
    overrides: Sequence[str]
    composed: DictConfig | None = None
    config_dir: str = ""
    output_subdir: str = ".hydra"


def job_of(composed: DictConfig, known: Known | None = None) -> Job:
    """The job of a composed config (Hydra's own part included), checked."""
    return replace(job_from(composed, composed.hydra, known), composed=composed)


def job_from(config: DictConfig, hydra: Any, known: Known | None = None) -> Job:
    """The job of a config and of Hydra's own part, checked."""
    plain, sources = resolved(config), hydra.runtime.config_sources
    return Job(
        run=read(plain, registry(), known, _presets(hydra)),
        config=plain,
        config_name=str(hydra.job.config_name),
        overrides=[str(word) for word in hydra.overrides.task],
        config_dir=next((str(s.path) for s in sources if s.provider == COMMAND_LINE), ""),
        output_subdir=str(hydra.output_subdir),
    )


def check_jobs(line: CommandLine) -> list[Job]:
    """Compose every job, build its typed objects and cross-check them. `UserError` with everything
    that is wrong, if something is: then none is started. Of a search the ends of its space are
    checked with the first block."""
    jobs: list[Job] = []
    known: Known = {}
    ends = line.search.at_the_ends() if line.search and not line.first_job else ()
    refusals = Refusals(len(line.jobs) + len(ends))
    alone = line.config is not None and not line.multirun
    with hydra_initialised(line.config_dir):
        for words in (*line.jobs, *ends):
            try:
                config = (
                    line.config if alone else composed(words, line.config_name, line.config_dir)
                )
                assert config is not None
                refuse_code_in_config(config)
                refuse_settings(config, line.multirun)
                jobs.append(job_of(config, known))
            except UserError as error:
                refusals.add(str(error), words)
    refusals.end()
    return jobs[: len(line.jobs)]


def _presets(hydra: Any) -> dict[str, str]:
    """The options that config groups were composed from, by Hydra's own part of a config."""
    return {str(group): str(name) for group, name in hydra.runtime.choices.items()}


def read(
    config: Mapping[str, Any],
    registry: Registry,
    known: Known | None = None,
    presets: Mapping[str, str] | None = None,
) -> Run:
    """The run of a composed config, given as plain values. `UserError` for anything that is wrong,
    before any work. known: pass the same mapping for the jobs of a study, which then share their
    typed configs. presets: the options that its groups were composed from, for messages."""
    parts = replace(chosen(config, registry, known), presets=presets or {})
    run = only_wanted(_with_precision(_settled(parts)))
    check(run)
    check_objective(run)
    check_decisive(run)
    inspected = {choice.key: inspect(choice) for choice in run.all_choices()}
    inputs = {key: seen.content for key, seen in inspected.items() if not seen.waiting}
    return replace(run, stages=tuple(_plan(run)), inputs=inputs)


def chosen(config: Mapping[str, Any], registry: Registry, known: Known | None = None) -> Run:
    """The components that a composed config, given as plain values, chooses, each checked by
    itself. Nothing that they read is looked at, and no stages follow."""
    known = {} if known is None else known
    graph = registry.stage_graph
    groups, keys = {*graph.groups, *LISTS}, set(RunSettings.__dataclass_fields__)
    for key in config:
        if key not in groups | keys | {"study"}:
            raise UserError(f"{key} is not an option. {nearest(str(key), groups | keys)}")
    settings, study = _settings(config, keys, known)
    for group in graph.required:
        if config.get(group) is None:
            allowed = nearest("", options(group))
            raise UserError(f"The config chooses no {group}: give {group}=NAME. {allowed}")
    choices: dict[str, Choice] = {}
    for group, kind in graph.groups.items():
        if config.get(group) is not None:
            make = partial(choose, registry, kind, config[group], group)
            choices[group] = _once(known, (kind, group), config[group], make)
    listed = {group: tuple(_listed(config, group, registry)) for group in LISTS}
    filters, transforms, trackers = (listed[g] for g in ("filters", "transforms", "trackers"))
    return Run(choices, filters, settings, registry, transforms, trackers, study=study)


def _listed(config: Mapping[str, Any], group: str, registry: Registry) -> Iterator[Choice]:
    """The components that a config group holds by any name, in order. null leaves one out."""
    for name, node in (config.get(group) or {}).items():
        if node is not None:
            yield choose(registry, LISTS[group], node, f"{group}.{name}")


def _settled(run: Run) -> Run:
    """With the values of configs that depend on which types of records the run has: a config may
    have a method ``settled(records)`` that returns it with them."""
    records = run.counts()
    choices = dict(run.choices)
    for group, choice in run.choices.items():
        if hasattr(choice.config, "settled"):
            with blamed(choice):
                choices[group] = replace(choice, config=choice.config.settled(records))
    return replace(run, choices=choices)


def _with_precision(run: Run) -> Run:
    """With a number format in the place of ``runtime.precision=auto``."""
    runtime = run.settings.runtime
    if runtime.precision is not Precision.auto:
        return run
    shape = inspect(run.choices["policy"]).shape
    precision, said = decided(
        with_launched_device(runtime, os.environ), shape.width if shape else 0
    )
    settled = replace(run.settings, runtime=replace(runtime, precision=precision))
    return replace(run, settings=settled, said=(said,))


def _settings(
    config: Mapping[str, Any], keys: set[str], known: Known
) -> tuple[RunSettings, StudyConfig | None]:
    settings = typed(RunSettings, {k: v for k, v in config.items() if k in keys}, "")
    declared, study = config.get("study"), None
    if declared:
        study = _once(known, ("study",), declared, lambda: typed(StudyConfig, declared, "study"))
    wrong = [*problems(settings), *(problems(study, "study.") if study else ())]
    if wrong:
        raise UserError("\n".join(f"{name} {message}" for name, message in wrong))
    return settings, study


def _once(known: Known, key: tuple[Any, ...], values: Any, make: Callable[[], T]) -> T:
    """What ``make`` makes of the values, or made of equal values before."""
    whole = (*key, json.dumps(values, default=repr))
    if whole not in known:
        known[whole] = make()
    value: T = known[whole]
    return value


def _plan(run: Run) -> list[Stage]:
    """The stages of a run, upstream first."""
    stages: list[Stage] = []
    wanted = run.wanted()
    for spec in run.graph:
        if spec.name in wanted:
            choice = run.choices[spec.group]
            pinned = getattr(choice.config, "seed", None)
            seed = run.settings.seed if pinned is None else pinned
            upstream = {run.graph[stage.name].group: stage.recipe_id for stage in stages}
            facts = recipe(run, spec, seed, upstream)
            held = _waits_for(run, facts)
            stage = Stage(spec.name, choice, seed, facts, digest(facts), spec.makes, held)
            check_going_on(stage)
            stages.append(stage)
    return stages


def _waits_for(run: Run, facts: Mapping[str, Any]) -> Choice | None:
    """The component that a stage with this recipe waits for. Every stage may ask the data for its
    words."""
    key = waits_for(facts)
    if not key and inspect(run.choices["data"]).waiting:
        return run.choices["data"]
    return next((choice for choice in run.all_choices() if choice.key == key), None)


def choose(registry: Registry, kind: str, node: Mapping[str, Any] | str, key: str) -> Choice:
    """Turn plain config values into a typed, checked choice; `UserError` with key, value, what is
    allowed and the nearest name. Whatever file the values came from, they pass through the
    component's schema here."""
    if not isinstance(node, Mapping) or not node.get("name"):
        options = ", ".join(registry.names(kind))
        raise UserError(
            f"{key} must be one {kind} component with a 'name', not {node!r}. Allowed: {options}."
        )
    component, plugin = (
        registry.component(kind, str(node["name"])),
        registry.provider(kind, str(node["name"])),
    )
    plain = {str(k): v for k, v in node.items()}
    held = {place: taken(plain, place) for place in component.nested}
    with blamed(Choice(key, component, plugin, None)):
        config = typed(component.config_class, plain, key)
    choices: list[Choice] = []
    for field, nested_kind in component.nested.items():
        value, (owner, last) = held[field], _owner(config, field)
        if value is None:
            continue
        if isinstance(value, str) or (isinstance(value, Mapping) and "name" in value):
            choice = choose(registry, nested_kind, value, f"{key}.{field}")
            choices.append(choice)
            setattr(owner, last, choice.config)
        else:
            given = {str(k): v for k, v in _items(value) if v is not None}
            items = {
                k: choose(registry, nested_kind, v, f"{key}.{field}.{k}") for k, v in given.items()
            }
            choices.extend(items.values())
            setattr(owner, last, {k: c.config for k, c in items.items()})
    choice = Choice(key, component, plugin, config, tuple(choices))
    with blamed(choice):
        wrong = list(problems(config, f"{key}."))
    if wrong:
        raise UserError("\n".join(f"{name} {message}" for name, message in wrong))
    return choice


def _owner(config: Any, place: str) -> tuple[Any, str]:
    """The typed config that has the field at a place, and the field's name."""
    *above, last = place.split(".")
    for name in above:
        config = getattr(config, name)
    return config, last


def _items(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else list(enumerate(value))
