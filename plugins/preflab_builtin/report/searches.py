"""What a study that tries values by itself has tried, from its ``search.json``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab.storage.run_folder import read_manifest
from preflab_builtin.report.wording import NOTHING, count, short

OTHER_SEEDS = "101,102,103"
"""Seeds of the command that asks the best values again."""


@dataclass(frozen=True)
class Tried:
    """A trial: see `preflab.jobs.searching.Tried`."""

    values: Mapping[str, Any]
    objective: float | None
    by_seed: tuple[float, ...]
    state: str
    why: str
    folders: tuple[str, ...]


@dataclass(frozen=True)
class Searched:
    """A search. folder: of its multirun; planned: trials in all; best: number of the best
    trial (None: no result); importance: share by key, {} if not known."""

    folder: Path
    objective: str
    planned: int
    seeds: int
    best: int | None
    importance: Mapping[str, float]
    trials: tuple[Tried, ...]


def read_search(path: Path) -> Searched | None:
    """The search of a file; None if it cannot be read."""
    try:
        facts = json.loads(path.read_bytes())
        trials = tuple(
            Tried(
                dict(row["values"]),
                None if row["objective"] is None else float(row["objective"]),
                tuple(map(float, row["by_seed"])),
                str(row["state"]),
                str(row["why"]),
                tuple(map(str, row["folders"])),
            )
            for row in facts["trials"]
        )
        return Searched(
            path.parent,
            str(facts["objective"]),
            int(facts["trials_planned"]),
            int(facts["seeds"]),
            None if facts["best"] is None else int(facts["best"]),
            {str(k): float(v) for k, v in facts["importance"].items()},
            trials,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def search_findings(search: Searched) -> list[str]:
    """What came out of a search, in sentences: the best trial, what it is worth, what mattered."""
    done = [trial for trial in search.trials if trial.objective is not None]
    tried = f"{len(search.trials)} of {count(search.planned, 'trial')}"
    if search.best is None:
        return [f"The search for {search.objective} has no result: {tried}."]
    best = search.trials[search.best]
    assert best.objective is not None
    failed = len(search.trials) - len(done)
    without = f", {failed} without a result" if failed else ""
    over = f", mean over {count(search.seeds, 'seed')}" if search.seeds > 1 else ""
    lines = [
        f"The best of {count(len(done), 'trial')}{without}: {_values(best.values)}, with "
        f"{search.objective} {short(best.objective)}{over} (trial {search.best})."
    ]
    if len(done) > 1 and len({trial.objective for trial in done}) == 1:
        lines.append("All trials have the same: nothing tells them apart.")
    elif len(done) > 1:
        lines.append(
            "This number is optimistic: the trial was chosen because it came out best on these "
            "seeds and prompts, and part of that is chance, more so the more trials there are. "
            f"Seeds that no trial had say what it is worth: {_again(search)}"
        )
    if search.importance:
        ordered = sorted(search.importance.items(), key=lambda item: -item[1])
        shares = ", ".join(f"{key} {100 * share:.0f} %" for key, share in ordered)
        lines.append(
            f"What tells good trials from others (importance, shares of the whole): {shares}."
        )
    return lines


def search_rows(search: Searched) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and rows of the table of trials, in their order."""
    keys = list(dict.fromkeys(key for trial in search.trials for key in trial.values))
    rows = []
    for number, trial in enumerate(search.trials):
        mark = "best" if number == search.best else trial.why if trial.why else ""
        state = mark or ("" if trial.state == "done" else trial.state)
        seeds = ", ".join(map(short, trial.by_seed)) if len(trial.by_seed) > 1 else ""
        value = NOTHING if trial.objective is None else short(trial.objective)
        cells = [str(trial.values.get(key, NOTHING)) for key in keys]
        rows.append((str(number), *cells, f"{value}\n{seeds}".strip(), state))
    return ("trial", *keys, search.objective, ""), rows


def _values(values: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())


def _again(search: Searched) -> str:
    """The command that runs the best values with other seeds."""
    assert search.best is not None
    best = search.trials[search.best]
    manifest = read_manifest(search.folder / best.folders[0]) if best.folders else None
    if manifest is None:
        return f"{_values(best.values)} study.search=null seed={OTHER_SEEDS}."
    words = _without_search(manifest["overrides"])
    name = manifest["config_name"]
    place = (manifest.get("where") or {}).get("config_dir")
    start = ["preflab", *(["-cd", place] if place else [])]
    start += ["-m"] if name == "config" else ["-cn", name]
    off = [] if name == "config" else ["study.search=null"]
    return shlex.join([*start, *words, *off, f"seed={OTHER_SEEDS}"])


def _without_search(overrides: Sequence[str]) -> list[str]:
    """A job's words without its seed and what it is called, and without the search."""
    left_out = ("seed", "name", "tags", "note")
    keys = [word.lstrip("+").partition("=")[0] for word in overrides]
    return [
        word
        for key, word in zip(keys, overrides, strict=True)
        if key not in left_out and not key.startswith("study.search")
    ]
