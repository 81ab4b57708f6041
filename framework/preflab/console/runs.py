"""The command ``runs``: which runs there are, how they differ, a copy that is whole, removal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from preflab.console.tables import show
from preflab.errors import UserError, nearest
from preflab.settings import LABELS
from preflab.storage.keeping import Removal, export, removal, remove
from preflab.storage.runs import ROOT, FoundRun, composed, dotted, folder_of, runs_below

NOTHING = "-"


def command(arguments: Sequence[str], usage: str) -> int:
    """``preflab runs`` with its words; its exit code."""
    first, *rest = arguments or [""]
    if first in _ACTIONS:
        return _ACTIONS[first](rest)
    return _list(list(arguments), usage)


def _list(arguments: list[str], usage: str) -> int:
    parser = argparse.ArgumentParser(prog="preflab runs", description=" ".join(usage.split()))
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT)
    parser.add_argument("--measures", default="", help="of the evaluation: names, or families/*")
    parser.add_argument("--tag", default="", help="only runs with this tag")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        raise UserError(
            f"There is no folder {options.folder}: runs are in {ROOT}/ below the folder where they "
            f"were started. Give a folder, or one of: {', '.join(_ACTIONS)}."
        )
    found = runs_below(options.folder)
    if options.tag:
        tags = {tag for run in found for tag in _tags(run)}
        if options.tag not in tags:
            raise UserError(f"No run has the tag '{options.tag}'. {nearest(options.tag, tags)}")
        found = [run for run in found if options.tag in _tags(run)]
    wanted = _chosen(options.measures, found)
    if options.json:
        print(json.dumps([_facts(run, wanted) for run in found], indent=1))
    elif found:
        _show_list(found, wanted)
    else:
        print(f"There is no run in {options.folder}.")
    return 0


def _chosen(names: str, found: Iterable[FoundRun]) -> list[str]:
    """The measures that are asked for, in the order of asking; `UserError` for one that no run
    has."""
    known = dict.fromkeys(name for run in found for name in run.measures) if names else {}
    chosen = dict[str, None]()
    for pattern in filter(None, names.split(",")):
        fitting = [name for name in known if fnmatchcase(name, pattern)]
        if not fitting:
            raise UserError(f"No run has the measure '{pattern}'. {nearest(pattern, known)}")
        chosen |= dict.fromkeys(fitting)
    return list(chosen)


def _show_list(found: Sequence[FoundRun], measures: Sequence[str]) -> None:
    """The table. Tags and notes have a column if any run has them."""
    from rich.markup import escape
    from rich.table import Table

    extra = [key for key in ("tags", "note") if any(run.manifest.get(key) for run in found)]
    table = Table("run", "arm", "started", "state", "hours", *measures, *extra)
    for run in found:
        labels = {"tags": " ".join(_tags(run)), "note": str(run.manifest.get("note") or "")}
        cells = [
            str(run.folder),
            str(run.manifest.get("arm") or NOTHING),
            _when(run),
            run.state,
            f"{run.hours:.3g}",
            *(_number(run.measures.get(name)) for name in measures),
            *(labels[key] for key in extra),
        ]
        table.add_row(*map(escape, cells))
    show(table)


def _facts(run: FoundRun, measures: Sequence[str]) -> dict[str, Any]:
    """A run as ``--json`` shows it. Without chosen measures it shows all."""
    manifest = run.manifest
    known = run.measures
    return {
        "folder": str(run.folder),
        **{key: manifest.get(key) or ([] if key == "tags" else "") for key in LABELS},
        **{key: manifest.get(key) for key in ("config_name", "arm", "seed", "overrides")},
        "started": manifest.get("started") or "",
        "state": run.state,
        "hours": round(run.hours, 4),
        "measures": {name: known[name] for name in measures or known if name in known},
    }


def _tags(run: FoundRun) -> list[str]:
    return [str(tag) for tag in run.manifest.get("tags") or ()]


def _when(run: FoundRun) -> str:
    """When a run was last started, in this machine's time."""
    try:
        started = datetime.fromisoformat(run.manifest.get("started") or "")
    except ValueError:  # an older version has none
        return NOTHING
    return f"{started.astimezone():%Y-%m-%d %H:%M}"


def _number(measure: Mapping[str, float | None] | None) -> str:
    value = (measure or {}).get("value")
    return NOTHING if value is None else f"{value:.4g}"


def _compare(arguments: list[str]) -> int:
    """runs compare RUN RUN... [--measures A,B] [--json]: where runs differ: config, code, stages,
    measures"""
    from rich.markup import escape
    from rich.table import Table

    parser = argparse.ArgumentParser(prog="preflab runs compare", description=_compare.__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--measures", default="*")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    runs = [_single(word) for word in options.runs]
    if len(runs) < 2:
        raise UserError("runs compare needs two runs at least: preflab runs compare A B")
    some = any(run.measures for run in runs)
    wanted = _chosen(options.measures, runs) if some or options.measures != "*" else []
    parts = {
        "config": _chosen_alike(_differing([_config(run) for run in runs])),
        "made with": _differing([_origin(run) for run in runs]),
        "stages": _differing([_recipes(run) for run in runs]),
        "measures": {n: [_number(run.measures.get(n)) for run in runs] for n in wanted},
    }
    if options.json:
        print(json.dumps({"runs": [str(run.folder) for run in runs], **parts}, indent=1))
        return 0
    table = Table("", *(str(run.folder) for run in runs))
    for part, rows in parts.items():
        table.add_row(f"[bold]{part}[/bold]", "" if rows else "the same", end_section=not rows)
        for key, cells in rows.items():
            table.add_row(*map(escape, (f"  {key}", *cells)))
        table.add_section()
    show(table)
    return 0


def _single(word: str) -> FoundRun:
    """The run of a name or folder; `UserError` for a multirun, whose jobs are the runs."""
    folder = folder_of(word)
    found = [run for run in runs_below(folder) if run.folder == folder]
    if not found:
        raise UserError(f"{folder} is a multirun: give the folder of one of its jobs.")
    return found[0]


def _differing(columns: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """The keys that do not have the same value in all columns."""
    keys = dict.fromkeys(key for column in columns for key in column)
    rows = {key: [column.get(key, NOTHING) for column in columns] for key in keys}
    return {key: cells for key, cells in rows.items() if len(set(cells)) > 1}


def _chosen_alike(rows: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Rows without the options of a component that not all runs have chosen: its name tells it.

    >>> _chosen_alike({"a.name": ["x", "y"], "a.b.c": ["1", "-"], "a.d": ["1", "2"]})
    {'a.name': ['x', 'y'], 'a.d': ['1', '2']}
    """

    def of_another(key: str) -> bool:
        parts = key.split(".")[:-1]
        above = (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        return any(f"{place}.name" in rows for place in above)

    return {k: cells for k, cells in rows.items() if NOTHING not in cells or not of_another(k)}


def _config(run: FoundRun) -> dict[str, str]:
    config = dotted(composed(run.folder))
    return {key: str(value) for key, value in config.items() if key not in LABELS}


def _origin(run: FoundRun) -> dict[str, str]:
    """With what a run was made, without what differs from run to run."""
    manifest = run.manifest
    facts = {"commit": manifest.get("git"), "host": manifest.get("host")}
    facts |= manifest.get("versions") or {}
    return {key: str(value) for key, value in (facts | (manifest.get("plugins") or {})).items()}


def _recipes(run: FoundRun) -> dict[str, str]:
    return {row["stage"]: row["recipe"][:16] for row in run.manifest["stages"]}


def _export(arguments: list[str]) -> int:
    """runs export RUN TARGET: a copy of a run, or multirun, with its models and all that it links
    to; TARGET is a new folder, or a file that ends in .tar.gz"""
    parser = argparse.ArgumentParser(prog="preflab runs export", description=_export.__doc__)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("target", type=Path, metavar="TARGET")
    options = parser.parse_args(arguments)
    number = export(folder_of(options.run), options.target)
    print(f"{options.target}: a copy of {folder_of(options.run)} with {number} artifacts.")
    return 0


def _remove(arguments: list[str]) -> int:
    """runs rm RUN [--artifacts] [--yes]: remove the folder of a run, or multirun, after a question;
    artifacts are kept, but with --artifacts those that no other run has"""
    parser = argparse.ArgumentParser(prog="preflab runs rm", description=_remove.__doc__)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--artifacts", action="store_true")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(arguments)
    about = removal(folder_of(options.run), ROOT)
    about.refuse(options.artifacts)
    print(_said(about, options.artifacts))
    if not options.yes:
        if not sys.stdin.isatty():
            raise UserError("Nobody can be asked here: give --yes to remove it.")
        if input("Remove? [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was removed.")
            return 0
    for place in remove(about, ROOT, options.artifacts):
        print(f"kept {place}: a job uses it by now")
    print(f"Removed {about.folder}.")
    return 0


def _said(about: Removal, artifacts: bool) -> str:
    """What is removed, and what is kept."""
    number = len(about.runs)
    lines = [f"{about.folder}: {number} run{'s' * (number != 1)}"]
    names = ", ".join(place.name for place in about.own)
    what = f"{len(about.own)} of its artifacts, {about.megabytes():.0f} MB: {names}"
    if about.own and artifacts:
        lines.append(f"  and what no other run below {ROOT}/ has: {what}")
    elif about.own:
        lines.append(f"  kept: {what} (--artifacts removes what no other run below {ROOT}/ has)")
    if about.shared:
        lines.append(f"  kept: {len(about.shared)} artifacts that other runs have too")
    return "\n".join(lines)


_ACTIONS = {"compare": _compare, "export": _export, "rm": _remove}
