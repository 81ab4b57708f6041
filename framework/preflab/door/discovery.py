"""Finding plugins: entry points and files, what limits them, and loading each isolated from the
others."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from preflab.door import plugin_files
from preflab.door.plugin import Plugin
from preflab.door.registry import Registry
from preflab.door.watching import watched
from preflab.errors import PluginError, UserError

ENTRY_POINT_GROUP = "preflab"
FLAGS = ONLY, BLOCKED, FILES = "PREFLAB_PLUGINS", "PREFLAB_NO_PLUGINS", plugin_files.VARIABLE


def import_file(path: Path) -> ModuleType:
    """A Python file as a plugin module (from ``--plugin FILE``)."""
    if path.suffix != ".py" or not path.is_file():
        raise PluginError("there is no such Python file (FILE.py)")
    spec = plugin_files.spec_of(path)
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


def _words(variable: str, separator: str = ",") -> list[str]:
    return [word.strip() for word in os.environ.get(variable, "").split(separator) if word.strip()]


def _entry_points() -> Iterator[tuple[Plugin, importlib.metadata.EntryPoint]]:
    """Entry points, the built-in ones first, limited by PREFLAB_PLUGINS (which never leaves out
    built-in ones)."""
    # Each look parses the distribution's metadata again, and twenty plugins share ours.
    facts: dict[int, tuple[str, str]] = {}
    plugins = []
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        if id(entry.dist) not in facts:
            facts[id(entry.dist)] = (
                (entry.dist.name, entry.dist.version) if entry.dist else ("?", "?")
            )
        plugins.append((Plugin(entry.name, entry.module, *facts[id(entry.dist)]), entry))
    only = _words(ONLY)
    for plugin, entry in sorted(plugins, key=lambda pair: (not pair[0].built_in, pair[0].name)):
        if ONLY not in os.environ or plugin.built_in or plugin.name in only:
            yield plugin, entry


def _sources() -> Iterator[tuple[Plugin, Any]]:
    """(plugin as named by its metadata, a function that imports it)."""
    for plugin, entry in _entry_points():
        yield plugin, entry.load
    for path in plugin_files.files():
        plugin = Plugin(path.stem, str(path), "file", str(path))
        yield plugin, lambda path=path: import_file(path)


def load() -> Registry:
    """Load every plugin that is installed or named by ``--plugin``, isolated from each other.
    `UserError` for a file that cannot be used: it was asked for by name."""
    registry = Registry()
    blocked = set(_words(BLOCKED))
    _refuse_equal_names()
    for plugin, importer in _sources():
        if plugin.name in blocked:
            registry.plugins.append(replace(plugin, problem="left out by --no-plugin"))
            continue
        try:
            # What a plugin prints must not precede the answer of --json.
            with contextlib.redirect_stdout(sys.stderr), watched(plugin.label, "its import"):
                module = importer()
        except PluginError as error:
            registry.add(replace(plugin, problem=str(error)), None)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            problem = f"cannot be imported: {type(error).__name__}: {error}{_line(error)}."
            if plugin.distribution != "file":
                problem += f" Repair or uninstall {plugin.distribution}."
            registry.add(replace(plugin, problem=problem), None)
        else:
            registry.add(plugin, module)
    wrong = [
        f"--plugin {p.module}: {p.problem}"
        for p in registry.plugins
        if p.distribution == "file" and p.problem and p.name not in blocked
    ]
    if wrong:
        raise UserError("\n".join(wrong))
    return registry


def _refuse_equal_names() -> None:
    by_name: dict[str, Path] = {}
    for file in plugin_files.files():
        other = by_name.setdefault(plugin_files.module_name(file), file)
        if other != file:
            raise UserError(f"--plugin {other} and --plugin {file} have one name: rename a file.")


def _line(error: BaseException) -> str:
    """Where a plugin file, or a module beside it, raised."""
    frames = traceback.extract_tb(error.__traceback__)
    places = {str(file.parent) for file in plugin_files.files()}
    own = [f for f in frames if any(f.filename.startswith(f"{p}{os.sep}") for p in places)]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""


def take_plugin_flags(
    argv: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[list[str], dict[str, str]]:
    """Take ``--plugin FILE`` and ``--no-plugin NAME`` out of a command line; every worker
    process gets them as environment variables. Returns the rest of the command line and the
    variables to set.

    >>> take_plugin_flags(["seed=1", "--no-plugin", "dpo"], {})
    (['seed=1'], {'PREFLAB_NO_PLUGINS': 'dpo'})
    """
    environment = os.environ if environment is None else environment
    flags = {"--plugin": (FILES, os.pathsep), "--no-plugin": (BLOCKED, ",")}
    rest: list[str] = []
    collected: dict[str, list[str]] = {}
    words = iter(argv)
    for word in words:
        flag, _, value = word.partition("=")
        if flag not in flags:
            rest.append(word)
            continue
        value = value or next(words, "")
        if not value:
            raise UserError(f"{flag} needs a value")
        collected.setdefault(flag, []).append(
            str(Path(value).resolve()) if flag == "--plugin" else value
        )
    variables = {}
    for flag, values in collected.items():
        variable, separator = flags[flag]
        before = [environment[variable]] if environment.get(variable) else []
        variables[variable] = separator.join(before + values)
    return rest, variables
