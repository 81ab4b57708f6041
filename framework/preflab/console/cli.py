"""The command line. A first word that is a command is that command; anything else composes and
runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from preflab.console.startup import calm_threads, skip_last_collection
from preflab.door.discovery import take_plugin_flags
from preflab.garbage import seldom_searched
from preflab.version import __version__

SHOWING = ("plan", "plugins", "doctor")
"""Commands that only show something, as ``--help`` and ``--cfg`` do."""


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the console script ``preflab``: exits with a documented code."""
    calm_threads()  # before torch is imported
    try:
        code = _code(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read this has seen enough (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def _code(argv: Sequence[str]) -> int | str | None:
    """Do what the words ask for; what the process ends with. `BrokenPipeError` if nobody reads."""
    try:
        words, variables = take_plugin_flags(argv)
        os.environ.update(variables)
        return _dispatch(words)
    except BrokenPipeError:
        raise
    except SystemExit as asked:  # of a parser that has said what it had to say
        return asked.code
    except BaseException as error:
        from preflab.jobs.endings import exit_code, show

        show(error)
        return exit_code(error)


def _dispatch(words: list[str]) -> int:
    if words and not words[0].startswith("-") and "=" not in words[0]:
        from preflab.console import commands

        if words[0] in SHOWING:
            skip_last_collection()
            with seldom_searched():
                return commands.run(words[0], words[1:])
        return commands.run(words[0], words[1:])
    if {"--help", "-h"} & set(words):
        from preflab.console.overview import overview

        skip_last_collection()
        with seldom_searched():
            print(overview())
        return 0
    if "--version" in words:
        print(f"preflab {__version__}")
        return 0
    from preflab.console.launch import launch

    return launch(words)
