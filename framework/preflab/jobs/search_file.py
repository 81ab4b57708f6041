"""``search.json`` in the folder of a multirun that tries values by itself: which search it is, and
its trials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from preflab.composing.sweeping import Search, Values
from preflab.errors import UserError
from preflab.storage.run_folder import SEARCH


def facts_of(search: Search) -> dict[str, Any]:
    """What a search is, as data: another one gives other trials."""
    config, space = search.config, search.space
    return {
        "objective": config.objective,
        "more": config.more,
        "sampler": config.sampler,
        "seed": config.seed,
        "block": config.block,
        "space": json.loads(json.dumps([asdict(d) for d in space.dimensions])),
    }


def recorded(root: Path) -> Mapping[str, Any]:
    """What the file in a folder says; {} if there is none, or if it cannot be read."""
    try:
        facts = json.loads((root / SEARCH).read_bytes())
        return facts if isinstance(facts, dict) else {}
    except (OSError, ValueError):
        return {}


def recorded_trials(root: Path) -> list[Values]:
    """The values of the trials that the file has."""
    try:
        return [dict(trial["values"]) for trial in recorded(root)["trials"]]
    except (KeyError, TypeError, ValueError):
        return []


def check_same_search(root: Path, search: Search | None, key: str) -> None:
    """`UserError` if a folder holds a search, and the command has another one or none: its trials
    would be overwritten. key: by which the folder was chosen."""
    there = recorded(root)
    if not there:
        return
    if search is None:
        other = "holds a search, and this command has none"
    else:
        changed = [name for name, value in facts_of(search).items() if there.get(name) != value]
        if not changed:
            return
        named = [f"{name} {there.get(name)!r}" for name in changed if name != "space"]
        named += ["other values to try"] if "space" in changed else []
        other = f"holds another search ({', '.join(named)})"
    what = "name" if key.startswith("name=") else "folder"
    raise UserError(f"{key}: {root} {other}, and nothing is overwritten: give another {what}.")
