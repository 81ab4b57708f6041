"""The command line. A first word that is a command is that command; anything else composes and runs, through Hydra."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.door.discovery import take_plugin_flags
from preflab.errors import PreflabError, SweepError, UserError

if TYPE_CHECKING:
    from preflab.composing.composition import CommandLine
    from preflab.planning.run import Run

RUN_FOLDER = "PREFLAB_RUN_FOLDER"
SHOWING = ("plan", "plugins", "doctor")
"""Commands that only show something, as ``--help`` and ``--cfg`` do."""
SPIN = "20000"
"""Rounds (some tenths of a millisecond) that a thread of libgomp spins before it sleeps, on an idle machine."""


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the console script ``preflab``: exits with a documented code."""
    calm_threads()  # before torch is imported
    try:
        words, variables = take_plugin_flags(sys.argv[1:] if argv is None else argv)
        os.environ.update(variables)
        code = _dispatch(words)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        from preflab.jobs.job import exit_code, report

        report(error)
        code = exit_code(error)
    sys.exit(code)


def calm_threads() -> None:
    """How OpenMP's threads wait for each other: asleep, after a moment of spinning if nothing else runs on this machine now.

    Threads that spin for ever slow down fifty times as soon as another job wants their core; threads that always sleep need
    1.4 times as long for a small model's step on an idle machine, to wake up a thousand times.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN if _alone() else "0")


def _alone() -> bool:
    """Whether this process is the only one that runs; True where the system does not tell."""
    for _ in range(3):
        try:
            running = Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0]
        except (OSError, IndexError):
            return True
        if int(running) <= 1:
            return True
        time.sleep(0.005)
    return False


def _dispatch(words: list[str]) -> int:
    if words and not words[0].startswith("-") and "=" not in words[0]:
        from preflab.console import commands

        if words[0] in SHOWING:
            leave_at_once()
        return commands.run(words[0], words[1:])
    if {"--help", "-h"} & set(words):
        from preflab.console import commands

        leave_at_once()
        print(commands.overview())
        return 0
    return run(words)


def leave_at_once() -> None:
    """At the end of this process, no search for garbage: it would look through all that composition has made, for 0.04 s, to free
    what the system takes back anyway. A run keeps it, since an object of a plugin may write its last lines when it is freed."""
    atexit.register(gc.freeze)


def run(words: Sequence[str]) -> int:
    """Check everything that the command line asks for, then hand it to Hydra."""
    from preflab.composing.composition import compose, config_root, job_yaml, parse, trust_the_check
    from preflab.composing.untrusted import refuse_code_in_config
    from preflab.runtime import is_main, world_size

    line = parse(words)
    if line.multirun and world_size() > 1:
        raise UserError(
            "A multirun cannot be started under torchrun: start 'preflab -m ... runtime.processes=N' alone."
        )
    if line.info:
        leave_at_once()
        config = compose(line.jobs[0], line.config_name, True, line.config_dir)
        refuse_code_in_config(config)
        if line.shows_job:
            print(job_yaml(config), end="")
            return 0
    import hydra

    from preflab.jobs import job
    from preflab.signals import StopRequest

    if not line.info:
        check_jobs(line)
        job.quiet_libraries()
        if not is_main():  # process 0 alone has a run folder
            job.execute(
                compose(line.jobs[0], line.config_name, False, line.config_dir),
                Path(),
                line.jobs[0],
                line.config_name,
            )
            return 0
        os.environ[RUN_FOLDER] = str(_new_folder(line.config_name))
        if line.multirun:
            trust_the_check()
            _import_once()
    os.environ.setdefault(
        "HYDRA_FULL_ERROR", "1"
    )  # errors come through to `main`, which words them
    sys.argv = [sys.argv[0], *words]
    start = hydra.main(config_path=str(config_root()), config_name="config", version_base="1.3")(
        job.task
    )
    if line.multirun and not line.info:
        try:
            with StopRequest(at_once=True).listening():
                start()
        finally:
            job.missing_lines(Path(os.environ[RUN_FOLDER]), line.jobs)
    else:
        start()
    if line.info:
        return 0
    return _finish(Path(os.environ[RUN_FOLDER]), line.multirun)


def check_jobs(line: CommandLine) -> list[Run]:
    """Compose every job, build its typed objects and cross-check them; the first thing wrong stops all of them."""
    from preflab.composing.composition import composing, registry, resolved
    from preflab.composing.untrusted import refuse_code_in_config
    from preflab.planning import reading

    checked = []
    known: reading.Known = {}
    with contextlib.ExitStack() as stack:
        compose = (
            None
            if line.composed is not None
            else stack.enter_context(composing(line.config_name, line.config_dir))
        )
        for overrides in line.jobs:
            config = line.composed if compose is None else compose(overrides)
            assert config is not None
            refuse_code_in_config(config)
            plain = resolved(config)
            try:
                checked.append(reading.read(plain, registry(), known))
            except UserError as error:
                where = f"\n(in the job {' '.join(overrides)})" if len(line.jobs) > 1 else ""
                raise UserError(f"{error}{where}") from None
    return checked


def _new_folder(config_name: str) -> Path:
    """A run folder that no other run has, even one started in the same instant."""
    import secrets
    from datetime import datetime

    while True:
        name = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        folder = Path("runs") / config_name / name
        try:
            folder.mkdir(parents=True, exist_ok=False)
        except FileExistsError:
            continue
        return folder


def _import_once() -> None:
    """Import the heavy libraries before jobs are forked, so that each job does not pay for it; nothing is computed."""
    for name in ("torch", "accelerate", "transformers.models.llama.modeling_llama"):
        importlib.import_module(name)


def _finish(folder: Path, multirun: bool) -> int:
    """Show the comparison; in a multirun also what failed."""
    from preflab.console import commands
    from preflab.jobs.job import ledger

    try:
        print(commands.report_text([folder], folder / "report.html"))
    except PreflabError as error:
        print(f"preflab: no report: {error}", file=sys.stderr)
    failed = [row for row in ledger(folder) if row["exit_code"]] if multirun else []
    if failed:
        lines = [
            f"  job {r['job']} ({' '.join(r['overrides'])}): exit code {r['exit_code']}: {r['error']}"
            for r in failed
        ]
        lines = [
            f"{line} ({folder / r['log']})" if r["log"] else line
            for line, r in zip(lines, failed, strict=True)
        ]
        raise SweepError(
            f"{len(failed)} job(s) failed; give the same command again to run only them:\n"
            + "\n".join(lines)
        )
    return 0
