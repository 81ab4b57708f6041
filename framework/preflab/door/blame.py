"""Whose mistake an error is. A plugin's component runs inside stages of others, so the traceback
decides: the innermost frame that is code of somebody else's plugin names who raised."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.door import plugin_files
from preflab.errors import NumericError, PluginError, PreflabError
from preflab.storage.durable import disk_error

if TYPE_CHECKING:
    from preflab.door.choice import Choice
    from preflab.door.plugin import Plugin

OURS = "preflab"
"""The distribution whose components are never blamed: their errors show a traceback."""


@contextlib.contextmanager
def blamed(*choices: Choice, kept: Callable[[], str] = str) -> Iterator[None]:
    """Within it an error, or an exit, of a component that is not preflab's becomes one
    `PluginError` that names it.

    choices: whose code runs, the one in charge first, then those that it uses. kept: a sentence
    on what is not lost. Errors for people (`PreflabError`), refusals of the disk, signals and
    interrupts go through as they are.
    """
    theirs = foreign(choices)
    try:
        yield
    except (Exception, SystemExit) as error:
        told = any(choice.plugin.label in str(error) for choice in theirs)
        if theirs and not told and isinstance(error, (NumericError, PluginError)):
            raise type(error)(f"{error} Not from preflab here: {named(theirs)}.") from error
        if not theirs or isinstance(error, PreflabError) or disk_error(error):
            raise
        who, at = _raised_by(error, theirs)
        if who is None and choices[0] in theirs:
            who = [choices[0]]
        said = f"{type(error).__name__}: {error}{at}"
        if who is not None:
            raise PluginError(
                " ".join(filter(None, (f"{named(who)} raised {said}.", kept())))
            ) from error
        if isinstance(error, MemoryError):
            raise
        words = f"{choices[0].component.kind} '{choices[0].name}' raised {said}, most likely over what it was given by"
        raise PluginError(" ".join(filter(None, (f"{words} {named(theirs)}.", kept())))) from error


def foreign(choices: Sequence[Choice]) -> list[Choice]:
    """Those of the choices, and of what is nested in them, that another distribution than preflab
    provides."""
    return [c for choice in choices for c in choice.all() if c.plugin.distribution != OURS]


def named(choices: Sequence[Choice]) -> str:
    """How messages name components: kinds, names, and the plugin with distribution and version."""
    by_plugin: dict[str, list[str]] = {}
    for choice in choices:
        words = by_plugin.setdefault(choice.plugin.label, [])
        if (one := f"{choice.component.kind} '{choice.name}'") not in words:
            words.append(one)
    return "; ".join(f"{', '.join(words)} of {label}" for label, words in by_plugin.items())


def _raised_by(error: BaseException, theirs: Sequence[Choice]) -> tuple[list[Choice] | None, str]:
    """The components of the plugin whose code raised, and where; (None, where) if nobody's did. A
    plugin may have several in a run: all of them are named, the file and line tell which."""
    frames = list(traceback.walk_tb(error.__traceback__))
    for frame, line in reversed(frames):
        plugins = [
            c.plugin for c in theirs if _holds(c.plugin, str(frame.f_globals.get("__name__")))
        ]
        if plugins:
            module = str(frame.f_globals["__name__"])
            owner = max(plugins, key=lambda p: len(p.module) if module.startswith(p.module) else 0)
            at = f" ({frame.f_code.co_filename}:{line} in {frame.f_code.co_name})"
            return [c for c in theirs if c.plugin.label == owner.label], at
    frame, line = frames[-1]
    return None, f" ({frame.f_code.co_filename}:{line} in {frame.f_code.co_name})"


def _holds(plugin: Plugin, module: str) -> bool:
    """Whether a module is the plugin's: below the package that its entry point names, or its file."""
    of_file = f"{plugin_files.__name__}.{Path(plugin.module).stem}"
    own = of_file if plugin.distribution == "file" else plugin.module.partition(".")[0]
    return f"{module}.".startswith(f"{own}.")
