"""Whose mistake an error is. A plugin's component runs inside stages of others, so the traceback
decides: the innermost frame that is code of a third party's plugin names who raised."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from preflab.door import plugin_files
from preflab.errors import NumericError, PluginError, PreflabError
from preflab.storage.durable import disk_error

if TYPE_CHECKING:
    from preflab.door.choice import Choice
    from preflab.door.plugin import Plugin


@contextlib.contextmanager
def blamed(*choices: Choice, kept: Callable[[], str] = str) -> Iterator[None]:
    """Within it an error, or an exit, of a component that is not preflab's becomes one
    `PluginError` that names it.

    choices: whose code runs, the one in charge first, then those that it uses. kept: a sentence
    on what is not lost. Errors for people (`PreflabError`), refusals of the disk, signals and
    interrupts pass through as they are.
    """
    suspects = third_party(choices)
    try:
        yield
    except (Exception, SystemExit) as error:
        already_named = any(choice.plugin.label in str(error) for choice in suspects)
        if suspects and not already_named and isinstance(error, (NumericError, PluginError)):
            parts = named(suspects)
            raise type(error)(f"{error} Third-party components in this stage: {parts}.") from error
        if not suspects or isinstance(error, PreflabError) or disk_error(error):
            raise
        culprits, place = _raised_by(error, suspects)
        if not culprits and choices[0] in suspects:
            culprits = [choices[0]]
        what = f"raised {type(error).__name__}: {error}{place}"
        if culprits:
            message = f"{named(culprits)} {what}."
        elif isinstance(error, MemoryError):
            raise
        else:
            message = (
                f"{choices[0].component.kind} '{choices[0].name}' {what}, probably because of a "
                f"value returned by {named(suspects)}."
            )
        raise PluginError(" ".join(filter(None, (message, kept())))) from error


def third_party(choices: Sequence[Choice]) -> list[Choice]:
    """Those of the choices, and of what is nested in them, that another distribution than preflab
    provides. Only they are blamed: errors of the others show a traceback."""
    return [c for choice in choices for c in choice.all() if not c.plugin.built_in]


def named(choices: Sequence[Choice]) -> str:
    """How messages name components: kinds, names, and the plugin with distribution and version."""
    by_plugin: dict[str, list[str]] = {}
    for choice in choices:
        names = by_plugin.setdefault(choice.plugin.label, [])
        if (name := f"{choice.component.kind} '{choice.name}'") not in names:
            names.append(name)
    return "; ".join(f"{', '.join(names)} of {label}" for label, names in by_plugin.items())


def _raised_by(error: BaseException, suspects: Sequence[Choice]) -> tuple[list[Choice], str]:
    """The components of the plugin whose code raised, and where; ([], where) if it was the code of
    none. A plugin may have several in a run: all of them are named, and the file and line tell
    which it was."""
    frames = list(traceback.walk_tb(error.__traceback__))
    for frame, line in reversed(frames):
        module = str(frame.f_globals.get("__name__"))
        plugins = [c.plugin for c in suspects if _holds(c.plugin, module)]
        if plugins:
            owner = max(plugins, key=lambda p: len(p.module) if module.startswith(p.module) else 0)
            return [c for c in suspects if c.plugin.label == owner.label], _place(frame, line)
    return [], _place(*frames[-1])


def _place(frame: FrameType, line: int) -> str:
    return f" ({frame.f_code.co_filename}:{line} in {frame.f_code.co_name})"


def _holds(plugin: Plugin, module: str) -> bool:
    """Whether a module is the plugin's: below the package that its entry point names, or its
    file."""
    of_file = plugin_files.module_name(Path(plugin.module))
    own = of_file if plugin.distribution == "file" else plugin.module.partition(".")[0]
    return f"{module}.".startswith(f"{own}.")
