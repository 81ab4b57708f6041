"""GPUs of this machine, dealt to jobs: each sees its own and no other.

A job holds a locked file for each of its GPUs, which the system lets go when its process ends,
however that is. The files are in one folder for all commands of a user, so that two multiruns share
a machine as two jobs of one do.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import DictConfig, flag_override

from preflab.errors import UserError
from preflab.launched import world_size
from preflab.planning.reading import Job
from preflab.runtime import NO_GPU, Device, too_many_processes
from preflab.visible import VISIBLE, asked, named

KEY = "runtime.gpus_per_job"
IN_TURN, JOBLIB, SLURM = ".BasicLauncher", ".JoblibLauncher", ".SlurmLauncher"
"""Ends of the names of launchers."""


def visible() -> list[str]:
    """The GPUs that this process may use, by the names that ``CUDA_VISIBLE_DEVICES`` takes."""
    names = named()
    return list(map(str, range(_count()))) if names is None else names


def _count() -> int:
    """GPUs that torch sees. Not is_available(), after which a forked job could not use a GPU."""
    import torch

    return torch.cuda.device_count()


def check_devices(launcher: DictConfig | None, jobs: Sequence[Job]) -> None:
    """`UserError` with the first of what `lacking` says, before a folder is made.

    launcher: as for `check`.
    """
    for sentence in lacking(launcher, jobs):
        raise UserError(sentence)


def lacking(launcher: DictConfig | None, jobs: Sequence[Job]) -> Iterator[str]:
    """Sentences on a GPU that is not here, and on more processes than there are GPUs. Jobs of Slurm
    see the GPUs of other machines.

    launcher: as for `check`.
    """
    if launcher is not None and str(launcher.get("_target_")).endswith(SLURM):
        return
    for runtime in (job.run.settings.runtime for job in jobs):
        if runtime.device is Device.cuda and not _count():
            yield NO_GPU
        if runtime.device is not Device.cpu and world_size() == 1 < runtime.processes:
            there = _count()
            if 0 < there < runtime.processes:
                yield too_many_processes(runtime.processes, there)


def check(launcher: DictConfig | None, jobs: Sequence[Job]) -> None:
    """`UserError` with the cure unless every job that runs at a time can have the GPUs that it asks
    for. Slurm is asked for them.

    launcher: Hydra's, of a multirun; None for a single run.
    """
    most = max((wanted(job) for job in jobs), default=0)
    if not most:
        return
    if world_size() > 1:
        raise UserError(f"{KEY}={most}: the processes of torchrun take a GPU each. Leave it out.")
    for job in jobs:
        _check_job(job)
    target = "" if launcher is None else str(launcher.get("_target_"))
    if launcher is not None and target.endswith(SLURM):
        _ask_slurm(launcher, {wanted(job) for job in jobs})
        return
    if launcher is not None and not target.endswith((IN_TURN, JOBLIB)):
        raise UserError(
            f"{KEY}={most}: this launcher ({target.rpartition('.')[2]}) starts its jobs without "
            "waiting for GPUs. Give hydra/launcher=joblib hydra.launcher.n_jobs=N, or "
            "hydra/launcher=submitit_slurm, or leave the launcher out: jobs run one after the "
            "other."
        )
    joblib = launcher is not None and target.endswith(JOBLIB)
    at_a_time = min(_at_a_time(launcher), len(jobs)) if launcher is not None and joblib else 1
    # A driver sees fewer than are named where a name is of no GPU, or where there is none.
    there = min(len(visible()), _count())
    if at_a_time * most > there:
        raise UserError(_too_many(most, at_a_time, there))


def wanted(job: Job) -> int:
    """GPUs that a job asks for; 0: it takes those that there are."""
    return job.run.settings.runtime.gpus_per_job or 0


def _check_job(job: Job) -> None:
    runtime, number = job.run.settings.runtime, wanted(job)
    if number and runtime.device is Device.cpu:
        raise UserError(
            f"{KEY}={number}, but runtime.device=cpu uses no GPU: leave one of them out."
        )
    if number and runtime.processes > number:
        raise UserError(
            f"{KEY}={number}, but runtime.processes={runtime.processes}: each process of a job "
            f"takes a GPU. Give {KEY}={runtime.processes}, or runtime.processes={number}."
        )


def _at_a_time(launcher: DictConfig) -> int:
    """How many jobs joblib runs at a time: -1 is one for each processor, -2 one less."""
    jobs = int(launcher["n_jobs"])
    return jobs if jobs > 0 else max(1, len(os.sched_getaffinity(0)) + 1 + jobs)


def _too_many(most: int, at_a_time: int, there: int) -> str:
    where, names = os.environ.get(VISIBLE), named() or ()
    more = f", of which the driver sees {there}" if there < len(names) else ""
    seen = f"{there} GPU(s) visible here"
    seen += f" ({VISIBLE}={where}{more})" if where is not None else ""
    if there < most:
        cure = f"Give {KEY}={there}" if there else f"Leave {KEY} out"
        return f"{KEY}={most}, but there are {seen}. {cure}, or make more visible."
    return (
        f"{at_a_time} jobs at a time (hydra.launcher.n_jobs) with {KEY}={most} take "
        f"{at_a_time * most} GPUs, but there are {seen}. Give "
        f"hydra.launcher.n_jobs={there // most}."
    )


def _ask_slurm(launcher: DictConfig, numbers: set[int]) -> None:
    """Put the number into the request of each job: Slurm deals the GPUs."""
    if len(numbers) > 1:
        named = ", ".join(map(str, sorted(numbers)))
        raise UserError(
            f"{KEY} has the values {named}, and all jobs of a command ask Slurm for the same: give "
            "a command for each."
        )
    (number,) = numbers
    given = launcher.get("gpus_per_node")
    others = [key for key in ("gpus_per_task", "gres") if launcher.get(key) is not None]
    if others or given not in (None, number):
        other = others[0] if others else "gpus_per_node"
        raise UserError(
            f"{KEY}={number} asks Slurm for as many GPUs by hydra.launcher.gpus_per_node, and "
            f"hydra.launcher.{other} is {launcher[other]}: leave one of them out."
        )
    with flag_override(launcher, "readonly", False):
        launcher["gpus_per_node"] = number


@contextlib.contextmanager
def own(job: Job, dealt: bool = False) -> Iterator[None]:
    """Within it this process sees the GPUs of its job alone: the first that no other job of this
    user has on this machine. It waits until there are enough, and says so.

    dealt: somebody else has dealt the GPUs.
    """
    number = wanted(job)
    if not number or dealt:
        yield
        return
    before = os.environ.get(VISIBLE)
    with contextlib.ExitStack() as held:
        os.environ[VISIBLE] = ",".join(_taken(number, held))
        try:
            yield
        finally:
            os.environ.pop(VISIBLE)
            if before is not None:
                os.environ[VISIBLE] = before


def _folder() -> Path:
    """Of the files that all jobs of this user lock. It is on this machine, as the GPUs are."""
    folder = Path(tempfile.gettempdir()) / f"preflab-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError(
            f"{KEY}: {folder} belongs to another user, so that GPUs cannot be reserved in it. Name "
            "another folder for temporary files (TMPDIR)."
        )
    return folder


def identities(names: Sequence[str]) -> list[str]:
    """What stands for each GPU in every command, whether that calls it by its number or by (the
    beginning of) its UUID: the UUID if the driver's tool tells it, else the name."""
    known = {index: uuid for index, uuid in asked("index", "uuid")}
    by_uuid = (next((u for u in known.values() if u.startswith(name)), name) for name in names)
    return [known.get(name, uuid) for name, uuid in zip(names, by_uuid, strict=True)]


def _taken(number: int, held: contextlib.ExitStack) -> list[str]:
    """The names of so many GPUs, whose locks are held: all of them or none, so that no two jobs
    wait for each other."""
    folder, names = _folder(), visible()
    files = [folder / identity.replace("/", "-") for identity in identities(names)]
    told = False
    while True:
        own: list[str] = []
        with contextlib.ExitStack() as locks:
            for name, file in zip(names, files, strict=True):
                lock = FileLock(f"{file}.lock")
                with contextlib.suppress(Timeout):
                    lock.acquire(timeout=0)
                    locks.callback(lock.release)
                    file.write_text(f"process {os.getpid()} in {Path.cwd()}", encoding="utf8")
                    own.append(name)
                if len(own) == number:
                    held.enter_context(locks.pop_all())
                    return own
            if not told:
                _say_that_it_waits(
                    number, {n: f for n, f in zip(names, files, strict=True) if n not in own}
                )
                told = True
        time.sleep(0.1 + 0.001 * (os.getpid() % 100))  # not all at the same moment


def _say_that_it_waits(number: int, taken: Mapping[str, Path]) -> None:
    """taken: the files of the GPUs that others have."""
    have = []
    for name, file in taken.items():
        with contextlib.suppress(OSError):
            have.append(
                f"GPU {name} is taken by {file.read_text(encoding='utf8') or 'another job'}"
            )
    print(
        f"preflab: {'; '.join(have) or 'GPUs are taken'}. This job waits until {number} of "
        f"{len(visible())} are free ({VISIBLE} names others).",
        file=sys.stderr,
    )
