"""From a composed config to a checked run: typed choices, cross-checks, stages with recipe ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from preflab.door.choice import Choice
from preflab.door.registry import Registry
from preflab.errors import UserError, nearest
from preflab.options import problems, typed
from preflab.planning.checks import check
from preflab.planning.choosing import choose, inspect
from preflab.planning.recipes import digest, recipe
from preflab.planning.run import Run, Stage
from preflab.settings import RunSettings
from preflab.study import StudyConfig

T = TypeVar("T")
Known = dict[tuple[Any, ...], Any]
"""Typed configs by what they were made of: the jobs of a study have most of them in common."""


def read(config: Mapping[str, Any], registry: Registry, known: Known | None = None) -> Run:
    """The run of a composed config, given as plain values. `UserError` for anything that is wrong,
    before any work. known: pass the same mapping for the jobs of a study, which then share their
    typed configs."""
    known = {} if known is None else known
    graph = registry.stage_graph
    groups, keys = {*graph.groups, "filters"}, set(RunSettings.__dataclass_fields__)
    for key in config:
        if key not in groups | keys | {"study"}:
            raise UserError(f"{key} is not an option. {nearest(str(key), groups | keys)}")
    settings, study = _settings(config, keys, known)
    for group in graph.required:
        if config.get(group) is None:
            options = nearest("", registry.names(graph.groups[group]))
            raise UserError(f"The config chooses no {group}: give {group}=NAME. {options}")
    choices: dict[str, Choice] = {}
    for group, kind in graph.groups.items():
        if config.get(group) is not None:
            make = partial(choose, registry, kind, config[group], group, settings.fast)
            choices[group] = _once(known, (kind, group, settings.fast), config[group], make)
    nodes = (config.get("filters") or {}).items()
    filters = tuple(choose(registry, "filter", node, f"filters.{name}") for name, node in nodes)
    run = Run(choices, filters, settings, registry, study=study)
    check(run)
    inputs = {choice.key: inspect(choice).content for choice in run.all_choices()}
    return replace(run, stages=tuple(_plan(run)), inputs=inputs)


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
            stages.append(Stage(spec.name, choice, seed, facts, digest(facts), spec.makes))
    return stages
