"""The command ``runs``: which runs there are, how they differ, a copy that is whole, removal."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from preflab.console.comparison import compare
from preflab.console.measuring import NOTHING, chosen, number
from preflab.console.tables import fits, show
from preflab.errors import UserError, nearest
from preflab.settings import LABELS
from preflab.storage.keeping import Removal, export, removal, remove
from preflab.storage.run_folder import read_jobs
from preflab.storage.runs import ROOT, FoundRun, folder_of, multirun_of, runs_below

WIDEST = (32, 16)
"""Characters of a cell, but for the folder of a run, from which on it is folded: the first with
which the table fits."""
ROOM = 60
"""Characters of what was typed for a run, where it has no arm."""


def command(arguments: Sequence[str], usage: str) -> int:
    """``preflab runs`` with its words; its exit code."""
    first, *rest = arguments or [""]
    if first in _ACTIONS:
        return _ACTIONS[first](rest)
    if first and not first.startswith("-"):
        arguments = [str(_folder(Path(first))), *rest]
    return _list(list(arguments), usage)


def _folder(given: Path) -> Path:
    """The folder of runs that a word means: itself, or that of the run, or multirun, of a name."""
    if given.is_dir():
        return given
    if given == ROOT:
        raise UserError(
            f"There is no folder {ROOT}: runs are in {ROOT}/ below the folder where they were "
            "started. Go there, or give a folder."
        )
    try:
        return folder_of(str(given))
    except UserError as error:
        actions = nearest(str(given), _ACTIONS)
        raise UserError(f"{error} Or give what to do with runs. {actions}") from None


def _list(arguments: list[str], usage: str) -> int:
    parser = argparse.ArgumentParser(prog="preflab runs", description=" ".join(usage.split()))
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT, help="or the name of a run")
    parser.add_argument("--measures", default="", help="of the evaluation: names, or families/*")
    parser.add_argument("--tag", default="", help="only runs with this tag")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    folder = _folder(options.folder)
    found = runs_below(folder)
    if options.tag:
        tags = {tag for run in found for tag in _tags(run)}
        if options.tag not in tags:
            raise UserError(_no_tag(options.tag, tags, folder))
        found = [run for run in found if options.tag in _tags(run)]
    wanted = chosen(options.measures, found)
    if options.json:
        print(json.dumps([_facts(run, wanted) for run in found], indent=1))
    elif found:
        _show_list(found, wanted)
    else:
        print(f"There is no run in {folder}.")
    return 0


def _no_tag(tag: str, tags: Collection[str], folder: Path) -> str:
    if tags:
        return f"No run has the tag '{tag}'. {nearest(tag, tags)}"
    return f"No run in {folder} has tags: they are given with a run, as in 'tags=[{tag}]'."


def _show_list(found: Sequence[FoundRun], measures: Sequence[str]) -> None:
    """The table; or, where the terminal is too narrow for it, the runs one below the other. The
    folder of a run is never broken, so that it can be copied. Tags and notes have a column if any
    run has them."""
    from rich.markup import escape
    from rich.table import Column, Table

    extra = [key for key in ("tags", "note") if any(run.manifest.get(key) for run in found)]
    names = ("arm", "seed", "started", "state", "hours", *measures, *extra)
    rows = [
        _cells(run, words, measures, extra)
        for run, words in zip(found, _own_words(found), strict=True)
    ]
    for widest in WIDEST:
        table = Table("run", *(Column(name, max_width=widest, overflow="fold") for name in names))
        for run, cells in zip(found, rows, strict=True):
            table.add_row(*map(escape, (str(run.folder), *cells)))
        if fits(table):
            show(table)
            return
    for run, (arm, seed, started, state, *others) in zip(found, rows, strict=True):
        last = zip(("seed", *names[4:]), (seed, *others), strict=True)
        named = (f"{name} {cell}" for name, cell in last if cell)
        print(f"{run.folder}\n  {', '.join((arm, state, started, *named))}")


def _cells(
    run: FoundRun, words: Sequence[str], measures: Sequence[str], extra: Sequence[str]
) -> list[str]:
    """What is said of a run. words: what was typed for it, in the place of an arm's name."""
    labels = {"tags": " ".join(_tags(run)), "note": str(run.manifest.get("note") or "")}
    return [
        str(run.manifest.get("arm") or _short(words) or NOTHING),
        str(run.manifest.get("seed", NOTHING)),
        _when(run),
        run.state,
        f"{run.hours:.3g}",
        *(number(run.measures.get(name)) for name in measures),
        *(labels[key] for key in extra),
    ]


def _short(words: Sequence[str]) -> str:
    """As many whole words as there is room for; --json has all.

    >>> _short(["algorithm=ppo", "a=" + 50 * "1"]), _short(["a=" + 60 * "1"])[-4:]
    ('algorithm=ppo …', '111…')
    """
    text = " ".join(words)
    if len(text) <= ROOM:
        return text
    kept = text[: ROOM - 1].rpartition(" ")[0]
    return f"{kept} …" if kept else f"{text[: ROOM - 1]}…"


def _own_words(found: Sequence[FoundRun]) -> Iterator[list[str]]:
    """What was typed for each run, without seeds: of a job what not all jobs have that its multirun
    is going to run. What few of the runs have comes first: where there is not room for all, what
    tells them apart is seen."""
    whole = {run.folder: multirun_of(run.folder) for run in found}
    jobs = {place: read_jobs(place) for place in whole.values() if place is not None}
    common: dict[Path | None, set[str]] = {
        place: set[str].intersection(*map(set, words))
        for place, words in jobs.items()
        if len(words) > 1
    }
    typed = [[str(word) for word in run.manifest.get("overrides") or ()] for run in found]
    number = Counter(word for words in typed for word in dict.fromkeys(words))
    for run, words in zip(found, typed, strict=True):
        shared = common.get(whole[run.folder], ())
        own = [word for word in words if word not in shared and not _tells_no_arm(word)]
        yield sorted(own, key=number.__getitem__)


def _tells_no_arm(word: str) -> bool:
    """Whether an override is a label, or gives other random numbers and nothing else.

    >>> [_tells_no_arm(f"{key}=1") for key in ("note", "seed", "sft.seed", "data.seed")]
    [True, True, True, False]
    """
    key = word.lstrip("+").partition("=")[0]
    group, _, name = key.rpartition(".")
    return key in LABELS or (name == "seed" and group not in ("data", "labeler"))


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
    """When a run was first started, in this machine's time."""
    try:
        started = datetime.fromisoformat(run.manifest.get("started") or "")
    except ValueError:  # an older version has none
        return NOTHING
    return f"{started.astimezone():%Y-%m-%d %H:%M}"


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
    parser.add_argument(
        "--artifacts", action="store_true", help="remove its artifacts too, unless others use them"
    )
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


_ACTIONS = {"compare": compare, "export": _export, "rm": _remove}
