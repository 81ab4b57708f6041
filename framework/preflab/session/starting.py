"""Runs and studies that are started from Python: the words of a command line, checked and carried
out as there; the same errors are raised."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from preflab.composing.compose import CommandLine, flags_first, parse
from preflab.composing.search_path import registry
from preflab.console.launch import carry_out
from preflab.console.startup import calm_threads
from preflab.door.discovery import FLAGS, take_plugin_flags
from preflab.errors import (
    NumericError,
    PluginError,
    PreflabError,
    StorageError,
    SweepError,
    UserError,
    Waiting,
)
from preflab.jobs.execution import quiet_libraries
from preflab.jobs.places import places
from preflab.planning.reading import Job, check_jobs
from preflab.session.results import Run, Study
from preflab.signals import Stopped
from preflab.visible import VISIBLE

_ERRORS = (UserError, PluginError, StorageError, NumericError, Waiting, SweepError)
_APART = """
import json, sys
from preflab.signals import end_with
parent, words = json.loads(sys.argv[1])
end_with(parent)
sys.argv = ["preflab", *words]
from preflab.console.cli import main
main()
"""
"""A command line in a process of its own, which ends with this one."""


def run(overrides: str | Sequence[str] = ()) -> Run:
    """Run one experiment in this process, as ``preflab OVERRIDES`` does; the finished run.

    overrides: the words of the command line, as one text or as a list; flags too
    (``--plugin FILE``, ``-cn NAME``). What exists is reused, and a run that was killed or
    interrupted goes on when it is started again. Raises what the command line would say.
    """
    with _as_command(overrides) as words:
        line, jobs = _checked(words)
        if line.multirun:
            name, more = line.config_name, ", '-m ...'" if line.config_name == "config" else ""
            raise UserError(f"These are several runs: preflab.study('{name}'{more}).")
        if jobs[0].run.settings.runtime.processes > 1:
            return Run(_apart(words, line, jobs))
        quiet_libraries()
        with _torch_as_before():
            return Run(carry_out(line, jobs)[0].folder)


def study(name: str, overrides: str | Sequence[str] = ()) -> Study:
    """Run a study, or ``config`` with ``-m`` and lists of values, as ``preflab -cn NAME OVERRIDES``
    does; the finished study. It runs in processes of its own, which end with this one.
    `SweepError` if jobs have failed; the same call runs only these again."""
    with _as_command(["-cn", name, *_words(overrides)]) as words:
        line, jobs = _checked(words)
        if not line.multirun:
            raise UserError(f"{name} is one run, not several: preflab.run(['-cn', '{name}']).")
        return Study(_apart(words, line, jobs))


def _words(overrides: str | Sequence[str]) -> list[str]:
    """The words of a command line; `UserError` if they are not words, or only ask to show
    something."""
    try:
        words = shlex.split(overrides) if isinstance(overrides, str) else list(overrides)
    except ValueError as error:  # of quotes
        raise UserError(f"{overrides}: {error}. A list of words needs no quotes.") from None
    except TypeError:
        raise UserError(f"{overrides!r} is not a text or a list: give 'KEY=VALUE ...'.") from None
    wrong = [word for word in words if not isinstance(word, str)]
    if wrong:
        raise UserError(f"{wrong[0]!r} is not a word of a command line: write 'KEY=VALUE'.")
    if shows := [word for word in words if word in ("--help", "-h", "--version")]:
        raise UserError(f"{shows[0]} asks to show something: give it on the command line.")
    return words


def _checked(words: Sequence[str]) -> tuple[CommandLine, list[Job]]:
    line = parse(words)
    if line.info:
        raise UserError(f"{' '.join(words)} asks to show something: preflab.compose does.")
    return line, check_jobs(line)


@contextlib.contextmanager
def _as_command(overrides: str | Sequence[str]) -> Iterator[list[str]]:
    """Within it this process is a command line with these words, which the manifest records."""
    before, log = sys.argv, logging.getLogger()
    handlers, level = list(log.handlers), log.level
    calm_threads()
    words, variables = take_plugin_flags(_words(overrides))
    # A run that asks for some GPUs sees no others; the next one sees all.
    flags = {name: os.environ.get(name) for name in (*FLAGS, VISIBLE)}
    os.environ.update(variables)
    if variables:
        registry.cache_clear()
    try:
        words = flags_first(words)
        sys.argv = ["preflab", *words]
        yield words
    except Stopped as stopped:
        raise KeyboardInterrupt("stopped; the same call goes on") from stopped
    finally:
        sys.argv = before
        log.handlers[:] = handlers  # Hydra has put its own in their place
        log.setLevel(level)
        for name, value in flags.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if variables:
            registry.cache_clear()


@contextlib.contextmanager
def _torch_as_before() -> Iterator[None]:
    """A run sets torch's seed and threads: afterwards they are as they were."""
    import torch

    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)


def _apart(words: Sequence[str], line: CommandLine, jobs: Sequence[Job]) -> Path:
    """Carry a checked command line out in a process of its own; the folder of its results. A
    process that has used torch's threads must not be forked for the jobs."""
    folder = places(line, jobs).folder
    assert line.config is not None
    key = "hydra.sweep.dir" if line.multirun else "hydra.run.dir"
    chosen = line.config.get("name") or any(word.startswith(f"{key}=") for word in words)
    given = list(words) if chosen else [*words, f"{key}={folder}"]
    command = [sys.executable, "-c", _APART, json.dumps([os.getpid(), given])]
    said = list[str]()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for text in process.stderr:
                sys.stderr.write(text)
                said.append(text)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    if process.returncode:
        raise _error(process.returncode, "".join(said))
    return folder


def _error(code: int, said: str) -> BaseException:
    """What a process that ended with this code has said last, as the error that it was."""
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM):
        return KeyboardInterrupt("stopped; the same call goes on")
    message = said.rpartition("preflab: ")[2].strip() or f"ended with exit code {code}"
    kinds = {kind.exit_code: kind for kind in _ERRORS}
    return kinds.get(code, PreflabError)(message)
