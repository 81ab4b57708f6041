"""What is known of the jobs of a command before the first of them starts: they are all asked, so
that one that is going to fail is refused before another has worked for hours."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence

from preflab.engine.preflight import key
from preflab.engine.stages import Stages
from preflab.errors import NumericError, PluginError, StorageError, UserError
from preflab.planning.reading import Job
from preflab.planning.refusals import Refusals
from preflab.signals import end_with

_REFUSALS = (UserError, PluginError, StorageError, NumericError)
"""Errors that stop all jobs. A job that waits stops no other."""


def notices(jobs: Sequence[Job], plans: bool = False) -> list[str]:
    """What the jobs would say before their first stage, each sentence once; `UserError` with all
    that is refused. A job is asked only if it makes a stage that no job before it makes with the
    same config and inputs: seeds change nothing here, and reading the data takes time. plans: what
    a run needs and is not there now is said and not refused."""
    asked, said = set[str](), dict[str, None]()
    refused: dict[frozenset[str], str] = {}
    refusals = Refusals(len(jobs))
    for job in jobs:
        stages = Stages(job.run, lambda hook, **shown: None, {}, looks=True, plans=plans)
        keys = frozenset(key(stage) for stage in stages.pending())
        if keys <= asked:
            continue
        if keys not in refused:
            try:
                said |= dict.fromkeys(stages.preflight())
                asked |= keys
                continue
            except UserError as error:
                refused[keys] = str(error)
        refusals.add(refused[keys], job.overrides)
    refusals.end()
    return list(said)


def check(jobs: Sequence[Job]) -> None:
    """What `notices` raises. The jobs are asked in a child process: this one is going to be forked
    for each of them, which threads and GPUs that were used before do not survive. A child that is
    killed has said nothing, and what killed it is left to the jobs."""
    sys.stdout.flush()
    sys.stderr.flush()
    read_end, write_end = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        try:
            end_with(parent)
            notices(jobs)
        except _REFUSALS as error:
            told = {"code": error.exit_code, "message": str(error)}
            with os.fdopen(write_end, "w", encoding="ascii") as stream:
                json.dump(told, stream)
        finally:
            os._exit(0)
    os.close(write_end)
    try:
        with os.fdopen(read_end, encoding="ascii") as stream:
            answer = stream.read()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)  # it has ended, unless this process was asked to stop
        os.waitpid(child, 0)
    if answer:
        told = json.loads(answer)
        raise next(kind for kind in _REFUSALS if kind.exit_code == told["code"])(told["message"])
