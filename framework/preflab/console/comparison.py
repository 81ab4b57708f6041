"""The command ``runs compare``: what was typed for runs, and where they differ."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence

from preflab.console.measuring import NOTHING, chosen, number
from preflab.console.tables import show
from preflab.errors import UserError
from preflab.settings import LABELS
from preflab.storage.runs import FoundRun, choices, composed, dotted, folder_of, manifest_of


def compare(arguments: list[str]) -> int:
    """runs compare RUN RUN... [--measures A,B] [--json]: where runs differ: what was typed, config,
    code, stages, measures"""
    parser = argparse.ArgumentParser(prog="preflab runs compare", description=compare.__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--measures", default="", help="these, also where they are equal")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    folders = [folder_of(word) for word in options.runs]
    runs = [FoundRun(folder, manifest_of(folder)) for folder in folders]
    if len(runs) < 2:
        raise UserError("runs compare needs two runs at least: preflab runs compare A B")
    typed = _typed(runs)
    measured = [{name: number(m) for name, m in run.measures.items()} for run in runs]
    wanted = chosen(options.measures, runs)
    parts = {
        "typed": typed,
        "config": _not_typed(_differing([_config(run) for run in runs]), typed),
        "made with": _differing([_origin(run) for run in runs]),
        "stages": _differing([_recipes(run) for run in runs]),
        "measures": {name: _row(measured, name) for name in wanted} or _differing(measured),
    }
    if options.json:
        print(json.dumps({"runs": [str(run.folder) for run in runs], **parts}, indent=1))
    else:
        _show(runs, parts)
    return 0


def _show(runs: Sequence[FoundRun], parts: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    from rich.markup import escape
    from rich.table import Column, Table

    columns = (Column(escape(str(run.folder)), overflow="fold") for run in runs)
    table = Table(Column("", overflow="fold"), *columns)
    for part, rows in parts.items():
        title = "config, beyond that" if part == "config" else part
        same = "the same to 4 digits" if part == "measures" else "the same"  # as they are shown
        table.add_row(f"[bold]{title}[/bold]", "" if rows else same)
        for key, cells in rows.items():
            table.add_row(*map(escape, (f"  {key}", *cells)))
        table.add_section()
    show(table)


def _row(columns: Sequence[Mapping[str, str]], key: str) -> list[str]:
    return [column.get(key, NOTHING) for column in columns]


def _differing(columns: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """The keys that do not have the same value in all columns."""
    keys = dict.fromkeys(key for column in columns for key in column)
    rows = {key: _row(columns, key) for key in keys}
    return {key: cells for key, cells in rows.items() if len(set(cells)) > 1}


def _typed(runs: Sequence[FoundRun]) -> dict[str, list[str]]:
    """The keys that were typed for any of the runs and have not the same value in all: of a run for
    which it was not typed, the value that counts there."""
    typed = [_words(run) for run in runs]
    keys = dict.fromkeys(key for words in typed for key in words if key not in LABELS)
    columns = [words | _config(run) | _choices(run) for run, words in zip(runs, typed, strict=True)]
    differing = _differing(columns)
    return {key: differing[key] for key in keys if key in differing}


def _words(run: FoundRun) -> dict[str, str]:
    """The overrides of a run by their keys."""
    parted = (str(word).lstrip("+~").partition("=") for word in run.manifest["overrides"])
    return {key: value for key, _, value in parted}


def _not_typed(rows: Mapping[str, list[str]], typed: Mapping[str, object]) -> dict[str, list[str]]:
    """Rows of configs without what was typed, and without the options of a component that not all
    runs have: its name tells it. An empty mapping is nothing.

    >>> terms = {"a.terms": ["-", "{}"], "a.terms.t.name": ["ptx", "-"], "a.terms.t.c": ["1", "-"]}
    >>> _not_typed(terms, {})
    {'a.terms.t.name': ['ptx', '-']}
    >>> rows = {"a.name": ["x", "y"], "a.b.c": ["1", "-"], "a.d": ["1", "2"], "seed": ["1", "2"]}
    >>> _not_typed(rows, {"seed": ["1", "2"]}), list(_not_typed(rows, {"a": ["x", "y"]}))
    ({'a.name': ['x', 'y'], 'a.d': ['1', '2']}, ['a.d', 'seed'])
    """

    def told(key: str) -> bool:
        return key in typed or (key.endswith(".name") and key.removesuffix(".name") in typed)

    def of_another(key: str) -> bool:
        parts = key.split(".")[:-1]
        above = {".".join([*parts[:depth], "name"]) for depth in range(1, len(parts) + 1)}
        return not rows.keys().isdisjoint(above - {key})

    return {
        key: cells
        for key, cells in rows.items()
        if not told(key)
        and not {NOTHING, "{}"}.issuperset(cells)
        and (NOTHING not in cells or not of_another(key))
    }


def _choices(run: FoundRun) -> dict[str, str]:
    return {group: _yaml(option) for group, option in choices(run.folder).items()}


def _config(run: FoundRun) -> dict[str, str]:
    config = dotted(composed(run.folder))
    return {key: _yaml(value) for key, value in config.items() if key not in LABELS}


def _yaml(value: object) -> str:
    """A value as it is typed.

    >>> _yaml(None), _yaml(True), _yaml([1, "a"])
    ('null', 'true', '[1,a]')
    """
    if isinstance(value, list):
        return f"[{','.join(map(_yaml, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _origin(run: FoundRun) -> dict[str, str]:
    """With what a run was made, without what differs from run to run."""
    manifest = run.manifest
    facts = {"commit": manifest.get("git"), "host": manifest.get("host")}
    facts |= manifest.get("versions") or {}
    return {key: str(value) for key, value in (facts | (manifest.get("plugins") or {})).items()}


def _recipes(run: FoundRun) -> dict[str, str]:
    return {row["stage"]: row["recipe"][:16] for row in run.manifest["stages"]}
