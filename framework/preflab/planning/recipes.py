"""What determines a stage's result, hashed: configs, inputs, data, and the source of the code
that computes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from preflab.door.choice import Choice
from preflab.kinds import StageSpec
from preflab.options import canonical as canonical
from preflab.options import in_use
from preflab.planning.asking import inspect, words
from preflab.planning.code import framework_digest, source_digest
from preflab.planning.run import Run
from preflab.records import RECORD_TYPES

FORMAT = 2


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()


def code_of(choice: Choice, packages: Iterable[str]) -> dict[str, str]:
    """Plugin and source digest of a choice and of everything nested in it."""
    code = {}
    for c in choice.all():
        modules = (c.plugin.module, *c.component.modules())
        digest_of_code = source_digest(modules, packages, not c.plugin.built_in)
        code[f"{c.component.kind}/{c.name}"] = f"{c.plugin.distribution} {digest_of_code}"
    return code


def identity(choice: Choice, packages: Iterable[str]) -> dict[str, Any]:
    """What a choice contributes to a recipe: its config, its code and what its inputs contain."""
    # A list: nested components have an order, which counts (reward shapings), and mappings
    # are hashed without theirs.
    inspected = [(c, inspect(c)) for c in choice.all()]
    content = [[c.key.removeprefix(choice.key), seen.content] for c, seen in inspected]
    facts = {
        "config": canonical(choice.config),
        "code": code_of(choice, packages),
        "content": content,
    }
    # What is not there yet never has the recipe of what is there, whatever its content says.
    waiting = [c.key for c, seen in inspected if seen.waiting]
    return {**facts, "waiting": waiting} if waiting else facts


def waits_for(recipe: Mapping[str, Any]) -> str:
    """Key of the first component in a recipe that cannot be used yet; "" if there is none."""
    used = (used for used in recipe["uses"].values() if not isinstance(used, str))
    identities = [recipe["component"], *used, *recipe["data"].values()]
    identities += [*recipe["filters"], *recipe.get("transforms", ())]
    return next((key for identity in identities for key in identity.get("waiting", ())), "")


def made(recipe_id: str, choice: Choice) -> str:
    """What an earlier stage contributes to a recipe: its own recipe id, and behind a space, if its
    component has options of use, a digest of these."""
    options = in_use(choice.config)
    return f"{recipe_id} {digest(options)}" if options else recipe_id


def recipe(run: Run, spec: StageSpec, seed: int, upstream: Mapping[str, str]) -> dict[str, Any]:
    """Everything that determines a stage's result. upstream: recipe ids of the stages before it, by
    config group."""
    packages = {p.module.split(".")[0] for p in run.registry.plugins if not p.problem}
    choice = run.choices[spec.group]
    needed, counts = words(choice), run.counts()
    reads: list[str] = [t for t in spec.reads if t in counts]
    reads += [t for t in RECORD_TYPES if t in counts and t in needed]
    groups = [group for group in run.graph.used(spec.name) if group in run.choices]
    # The true utility is the world's, wherever the prompts come from.
    knows_gold = any("gold" in words(c) for c in (choice, *(run.choices[g] for g in groups)))
    fresh = not inspect(run.choices["policy"]).pretrained
    if spec.name == "pretrain" or fresh or knows_gold:
        reads.append("data")
    for need, group in (("rankings", "comparisons"), ("samples", "samples")):
        if need in needed and group not in groups:
            groups.append(group)
    component = identity(choice, packages)
    # Resolved below: pinned or the run's, the result is the same.
    component["config"].pop("seed", None)
    for name in in_use(choice.config):
        del component["config"][name]
    transforms = [identity(t, packages) for t in run.transforms]
    return {
        "format": FORMAT,
        "stage": spec.name,
        "component": component,
        "seed": seed,
        "uses": {
            g: made(upstream[g], run.choices[g])
            if g in upstream
            else identity(run.choices[g], packages)
            for g in groups
        },
        "data": {
            t: identity(run.choices["data"] if t == "data" else run.source(t), packages)
            for t in sorted(set(reads))
        },
        "filters": [identity(f, packages) for f in run.filters],
        **({"transforms": transforms} if transforms else {}),
        "framework": framework_digest(),
        "runtime": {
            "precision": run.settings.runtime.precision.value,
            "deterministic": run.settings.runtime.deterministic,
        },
    }
