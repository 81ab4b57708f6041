"""Finding plugins: entry points and files, what limits them, and loading each isolated from the
others."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import sys
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
    name = f"{plugin_files.__name__}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise PluginError(f"--plugin {path}: there is no such Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
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
    for path in _words(FILES, os.pathsep):
        yield Plugin(Path(path).stem, path, "file", path), lambda path=path: import_file(Path(path))


def load() -> Registry:
    """Load every plugin that is installed or named by ``--plugin``, isolated from each other."""
    registry = Registry()
    blocked = set(_words(BLOCKED))
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
            problem = (
                f"cannot be imported: {type(error).__name__}: {error}. Repair or uninstall "
                f"{plugin.distribution}."
            )
            registry.add(replace(plugin, problem=problem), None)
        else:
            registry.add(plugin, module)
    return registry


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
