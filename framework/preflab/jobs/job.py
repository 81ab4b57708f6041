"""A job where it runs: in this process, in several, or in a child of a multirun with a line in
its ledger."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from preflab.composing.compose import resolved
from preflab.composing.search_path import registry
from preflab.errors import PreflabError
from preflab.jobs import processes
from preflab.jobs.endings import exit_code, show
from preflab.jobs.execution import execute
from preflab.planning.jobs import Job
from preflab.planning.reading import read
from preflab.runtime import world_size
from preflab.signals import Stopped, handling
from preflab.storage.run_folder import (
    ERROR,
    LedgerLine,
    append_to_ledger,
    is_complete,
    read_ledger,
)

UNFINISHED = "ended with exit code 0 before it had finished"


def task(config: DictConfig) -> int:
    """What a launcher's worker runs for a job that it has composed; the job's exit code."""
    hydra = HydraConfig.get()
    plain = resolved(config)
    overrides = [str(word) for word in hydra.overrides.task]
    job = Job(read(plain, registry()), plain, str(hydra.job.config_name), overrides)
    return run_job(job)


def run_job(job: Job) -> int:
    """Run the job whose config Hydra has set up (`hydra.core.utils.run_job`); its exit code. In a
    multirun it runs in a child process, so that nothing it does can end the others."""
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    work = partial(_in_processes, job, folder)
    if hydra.mode != RunMode.MULTIRUN:
        work()
        return 0
    started = time.monotonic()
    code, error, stopped = _in_child(work, folder / ERROR)
    if code == 0 and not is_complete(folder):
        code, error = 1, UNFINISHED
    log = folder / ERROR
    line = LedgerLine(
        job=hydra.job.num,
        overrides=list(job.overrides),
        arm=job.run.settings.arm,
        exit_code=code,
        error=error,
        status="ok" if code == 0 else "failed",
        folder=folder.name,
        seconds=round(time.monotonic() - started, 1),
        log=f"{folder.name}/{ERROR}" if log.is_file() and log.stat().st_size else "",
    )
    append_to_ledger(folder.parent, line)
    if stopped:
        raise Stopped(stopped)
    return code


def add_missing_lines(folder: Path, jobs: Sequence[Sequence[str]]) -> None:
    """A line in the ledger for every job that has none, because the multirun ended before it began."""
    noted = {line["job"] for line in read_ledger(folder)}
    for number in sorted(set(range(len(jobs))) - noted):
        line = LedgerLine(
            job=number,
            overrides=list(jobs[number]),
            arm="",
            exit_code=1,
            error="the multirun ended before it",
            status="not started",
            folder=str(number),
            seconds=0.0,
            log="",
        )
        append_to_ledger(folder, line)


def _in_processes(job: Job, folder: Path) -> None:
    """Run a job here, or in as many processes as it asks for."""
    wanted = job.run.settings.runtime.processes
    if wanted == 1 or world_size() > 1:
        execute(job, folder)
        return
    given = {"config": dict(job.config), "folder": str(folder), "overrides": list(job.overrides)}
    words = json.dumps({**given, "config_name": job.config_name})
    code = processes.start(wanted, [sys.executable, "-m", "preflab.jobs.processes", words])
    if code:
        raise SystemExit(code)  # process 0 has printed the reason
    if not is_complete(folder):
        raise PreflabError(f"{folder}: its processes {UNFINISHED}")


def _in_child(work: Callable[[], object], error_file: Path) -> tuple[int, str, int]:
    """Do a job's work in a forked child, so that nothing it does can end the others; (exit code,
    last line of its error, signal that asked this process to stop)."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            error_file.parent.mkdir(parents=True, exist_ok=True)
            with error_file.open("w", encoding="utf8") as stream:
                faulthandler.enable(stream)  # where a crash in native code came from
                work()
                faulthandler.disable()
            code = 0
        except BaseException as error:
            code = exit_code(error)
            show(error, error_file)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    asked = [0]

    def pass_on(signum: int, frame: FrameType | None) -> None:
        asked[0] = signum
        # It saves a checkpoint and ends; from a terminal it has the signal already.
        os.kill(child, signum)

    with handling(pass_on):
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return 128 - code, f"killed by {signal.Signals(-code).name}", asked[0]
    lines = (
        error_file.read_text(encoding="utf8").strip().splitlines() if error_file.exists() else []
    )
    if code == 0:
        return code, "", asked[0]
    return code, lines[-1] if lines else f"ended with exit code {code}", asked[0]
