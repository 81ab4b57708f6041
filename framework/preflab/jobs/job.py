"""Starting the checked jobs of a command line, each where it runs: in this process, in several,
or in a child process of a multirun with a line in its ledger. Hydra sets up the folder,
``.hydra/`` and logging."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import run_job as hydra_run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, flag_override

from preflab.composing.compose import CommandLine
from preflab.composing.fast import shrink
from preflab.composing.search_path import hydra_initialised
from preflab.engine.stages import Stages
from preflab.errors import PreflabError, UserError, Waiting
from preflab.garbage import seldom_searched
from preflab.jobs import ahead, gpus, processes
from preflab.jobs.endings import exit_code, show
from preflab.jobs.execution import execute, prepare
from preflab.jobs.places import MULTIRUN, Places, check_places, places
from preflab.launched import world_size
from preflab.planning.asking import missing
from preflab.planning.reading import Job, job_from
from preflab.signals import (
    Stopped,
    StopRequest,
    end_with,
    ends_before,
    handling,
    process_here,
    process_name,
)
from preflab.storage.run_folder import (
    CONFIG,
    ERROR,
    NOT_STARTED,
    WAITING,
    LedgerLine,
    append_to_ledger,
    is_complete,
    note_jobs,
    read_ledger,
)
from preflab.storage.runs import process_mark

IN_TURN = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
"""Hydra's default launcher: one job after the other. Its part is done here, with the checked jobs.
"""
STARTER = "PREFLAB_STARTER"
"""Environment variable that tells the workers of a launcher which process has started them. Jobs of
Slurm go on without it: they are in the hands of their queue."""
UNFINISHED = "ended with exit code 0 before it had finished"


def start(line: CommandLine, jobs: Sequence[Job], root: Path | None = None) -> Places:
    """Run all jobs; the folders of their results. Raises what a single run raises; the failures of
    a multirun are in its ledger. What is refused before any work leaves nothing on the disk. root:
    the folder of the multirun, if earlier jobs of it have made it."""
    _check_inputs(jobs)
    launcher = line.config.hydra.launcher if line.multirun and line.config else None
    gpus.check_devices(launcher, jobs)
    gpus.check(launcher, jobs)
    if root is None:
        check_places(line, jobs)
    with contextlib.ExitStack() as held:
        if not line.multirun:
            held.enter_context(gpus.own(jobs[0]))
        return _started(line, jobs, root)


def _started(line: CommandLine, jobs: Sequence[Job], root: Path | None) -> Places:
    with StopRequest(at_once=True).listening(), seldom_searched():
        stages = _looked_at(line, jobs)
    where = places(line, jobs, root)
    with hydra_initialised(line.config_dir) as loader:
        context = HydraContext(config_loader=loader, callbacks=Callbacks())
        if not line.multirun:
            _run_here(jobs[0], context, "hydra.run.dir", None, stages)
            return where
        try:
            with StopRequest(at_once=True).listening():
                _run_all(line, jobs, context, where.folder)
        finally:
            add_missing_lines(where, [job.overrides for job in jobs], line.first_job)
    return where


def _looked_at(line: CommandLine, jobs: Sequence[Job]) -> Stages | None:
    """Ask all jobs what is known of them; the stages of the only job, if this process makes
    them."""
    if not line.multirun and _alone(jobs[0]):
        return prepare(jobs[0])
    if line.multirun:
        _import_once()
    ahead.check(jobs)
    return None


def _alone(job: Job) -> bool:
    """Whether a job asks for no processes besides those that are there."""
    return job.run.settings.runtime.processes == 1 or world_size() > 1


def _check_inputs(jobs: Sequence[Job]) -> None:
    """`UserError` for an input that is not whole, with which only `plan` goes on."""
    for choice in (choice for job in jobs for choice in job.run.all_choices()):
        if lacks := missing(choice):
            raise UserError(f"{choice.key}: {lacks}")


def _run_all(line: CommandLine, jobs: Sequence[Job], context: HydraContext, folder: Path) -> None:
    assert line.config is not None
    config = line.config
    with flag_override(config.hydra, "readonly", False):
        config.hydra.mode = RunMode.MULTIRUN
        config.hydra.overrides.hydra.append("hydra.mode=MULTIRUN")
    OmegaConf.save(config, folder / MULTIRUN)
    words = [list(job.overrides) for job in jobs]
    note_jobs(folder, process_mark(os.getpid()), line.first_job, words)
    if config.hydra.launcher.get("_target_") == IN_TURN:
        for job in jobs:
            _run_here(job, context, "hydra.sweep.dir", "hydra.sweep.subdir")
        return
    os.environ[STARTER] = "" if "Slurm" in config.hydra.launcher._target_ else process_name()
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=task, config=config
    )
    for returned in launcher.launch(words, initial_job_idx=line.first_job):
        returned.return_value  # noqa: B018  raises what a worker raised outside of its job


def _run_here(
    job: Job,
    context: HydraContext,
    folder_key: str,
    subfolder_key: str | None,
    stages: Stages | None = None,
) -> None:
    """One job in this process. stages: as `prepare` gave them."""
    assert job.composed is not None
    errors: list[Exception] = []

    def work(config: DictConfig) -> int:
        try:
            return run_job(job, stages)
        except Exception as error:
            errors.append(error)  # Hydra would print a line of its own
            return 1

    hydra_run_job(work, job.composed, folder_key, subfolder_key, context)
    if errors:
        raise errors[0]


def _import_once() -> None:
    """Import the heavy libraries before jobs are forked, so that each job does not pay for it;
    nothing is computed."""
    for name in ("torch", "accelerate", "transformers.models.llama.modeling_llama"):
        importlib.import_module(name)


def task(config: DictConfig) -> int:
    """What a launcher's worker runs for a job that it has composed; the job's exit code."""
    hydra = HydraConfig.get()
    shrink(config, hydra)
    if hydra.output_subdir is not None:  # what Hydra has written there is without debug=fast
        folder = Path(hydra.runtime.output_dir) / hydra.output_subdir
        OmegaConf.save(config, folder / CONFIG)
    starter = process_here(os.environ.get(STARTER, ""))
    _import_once()  # a worker does several jobs, each in a child
    try:
        return run_job(job_from(config, hydra), starter=starter)
    except Stopped as stopped:
        if starter and not Path(f"/proc/{starter}").exists():
            os._exit(stopped.exit_code)  # a worker that nobody needs would wait for more jobs
        raise


def run_job(job: Job, stages: Stages | None = None, starter: int = 0) -> int:
    """Run the job whose config Hydra has set up (`hydra.core.utils.run_job`); its exit code. In a
    multirun it runs in a child process, so that nothing it does can end the others. starter: the
    process without which it stops, if that is not this one."""
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    work = partial(_in_processes, job, folder, stages)
    if hydra.mode != RunMode.MULTIRUN:
        work()
        return 0
    started = time.monotonic()
    root = Path(hydra.sweep.dir).absolute()
    dealt = str(hydra.launcher.get("_target_")).endswith(gpus.SLURM)

    def with_gpus() -> None:
        with gpus.own(job, dealt):
            work()

    code, error, stopped = _in_child(with_gpus, folder / ERROR, starter)
    if code == 0 and not is_complete(folder):
        code, error = 1, UNFINISHED
    log = folder / ERROR
    name = os.path.relpath(folder, root)
    line = LedgerLine(
        job=hydra.job.num,
        overrides=list(job.overrides),
        arm=job.run.settings.arm,
        exit_code=code,
        error=error,
        status={0: "ok", Waiting.exit_code: WAITING}.get(code, "failed"),
        folder=name,
        seconds=round(time.monotonic() - started, 1),
        log=f"{name}/{ERROR}" if log.is_file() and log.stat().st_size else "",
    )
    append_to_ledger(root, line)
    if stopped:
        raise Stopped(stopped)
    return code


def add_missing_lines(where: Places, jobs: Sequence[Sequence[str]], first_job: int = 0) -> None:
    """A ledger line for every job that has none, because the multirun ended before it began.
    first_job: number of the first of the jobs."""
    rows = read_ledger(where.folder)
    noted = {where.folder / str(row.get("folder") or row["job"]) for row in rows}
    for number, folder in enumerate(where.jobs, first_job):
        if folder in noted:
            continue
        line = LedgerLine(
            job=number,
            overrides=list(jobs[number - first_job]),
            arm="",
            exit_code=1,
            error="the multirun ended before it",
            status=NOT_STARTED,
            folder=os.path.relpath(folder, where.folder),
            seconds=0.0,
            log="",
        )
        append_to_ledger(where.folder, line)


def _in_processes(job: Job, folder: Path, stages: Stages | None = None) -> None:
    """Run a job here, or in as many processes as it asks for."""
    if _alone(job):
        execute(job, folder, stages)
        return
    wanted = job.run.settings.runtime.processes
    facts = ("config_name", "config_dir", "output_subdir")
    given: dict[str, Any] = {
        "config": dict(job.config),
        "overrides": list(job.overrides),
        "folder": str(folder),
    }
    given["parent"] = os.getpid()
    if (folder / ERROR).is_file():  # what an earlier attempt said
        (folder / ERROR).write_bytes(b"")
    words = json.dumps(given | {name: getattr(job, name) for name in facts})
    code = processes.start(wanted, [sys.executable, "-m", "preflab.jobs.processes", words])
    if code:
        raise SystemExit(code)  # process 0 has printed the reason
    if not is_complete(folder):
        raise PreflabError(f"{folder}: its processes {UNFINISHED}")


def _in_child(
    work: Callable[[], object], error_file: Path, starter: int = 0
) -> tuple[int, str, int]:
    """Do a job's work in a forked child, so that nothing it does can end the others; (exit code,
    last line of its error, signal that asked this process to stop). starter: see `run_job`."""
    parent, child = os.getpid(), os.fork()
    if child == 0:
        gc.freeze()  # no search for garbage in what it has from its parent: that stays shared
        code = 1
        try:
            end_with(parent, starter)
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
        if starter and ends_before(starter, child):
            pass_on(signal.SIGTERM, None)
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
