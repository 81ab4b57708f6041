"""Several processes of one job on this machine. Over several machines, torchrun starts them:
``torchrun ... -m preflab``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from preflab.composing.search_path import registry
from preflab.errors import PreflabError, UserError, Waiting
from preflab.jobs.endings import exit_code, show
from preflab.jobs.execution import execute, quiet_libraries
from preflab.launched import is_main
from preflab.planning.reading import Job, read
from preflab.signals import end_with
from preflab.storage.run_folder import ERROR

STATED = range(UserError.exit_code, Waiting.exit_code + 1)
"""Exit codes of errors that say what a person can mend."""
ELASTIC = "TORCHELASTIC_"
GROUPS = frozenset(("GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_WORLD_SIZE", "ROLE_NAME"))
"""By these variables, and those that begin with `ELASTIC`, torchrun tells a process of others that
it started. Here others meet: torch would wait half an hour for a store that nobody serves."""
GRACE = 10.0
"""Seconds that the other processes have to end by themselves after one has failed, and again
after SIGTERM."""


def start(processes: int, command: Sequence[str]) -> int:
    """Run the command once per process, each with its rank in the environment; the first exit code
    that is not 0, else 0.

    When one fails the others are ended: they would wait for it without end. SIGTERM is passed on;
    SIGINT from a terminal reaches them anyway.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "WORLD_SIZE": processes,
        "LOCAL_WORLD_SIZE": processes,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    around = {
        name: value
        for name, value in os.environ.items()
        if name not in GROUPS and not name.startswith(ELASTIC)
    }
    threads = {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // processes))}
    running: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def pass_on(signum: int, frame: FrameType | None) -> None:
        asked.append(signum)
        for process in running:
            process.send_signal(signum)

    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
    }
    try:
        for rank in range(processes):
            own = {k: str(v) for k, v in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()}
            running.append(subprocess.Popen(command, env={**threads, **around, **own}))
        code = _wait(running)
        if code and code not in STATED and not asked:
            _say_who_was_killed([process.returncode for process in running])
        return code
    finally:
        for process in running:
            process.kill()
            process.wait()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _wait(running: Sequence[subprocess.Popen[bytes]]) -> int:
    """The first exit code that is not 0, once all have ended or had time to end. One that says what
    a person can mend goes first: a process that loses another by it ends with 1, maybe sooner."""
    while all(p.poll() in (None, 0) for p in running):
        if all(p.poll() == 0 for p in running):
            return 0
        time.sleep(0.05)
    code = next(p.returncode for p in running if p.returncode)
    for ask in (False, True):
        for process in running:
            if ask and process.poll() is None:
                process.terminate()
        limit = time.monotonic() + GRACE
        while any(p.poll() is None for p in running) and time.monotonic() < limit:
            time.sleep(0.05)
    code = next((p.returncode for p in running if p.returncode in STATED), code)
    return code if code > 0 else 128 - code


def _say_who_was_killed(codes: Sequence[int | None]) -> None:
    """A sentence on a process that a signal has ended: it says nothing itself, and the others
    complain of losing it. codes: by rank, as `subprocess` gives them."""
    ended = [(rank, -code) for rank, code in enumerate(codes) if code is not None and code < 0]
    # Of SIGTERM it was asked above, and libraries abort a process that loses another.
    found = [(rank, number) for rank, number in ended if number != signal.SIGTERM]
    if not found:
        return
    rank, number = min(found, key=lambda one: one[1] == signal.SIGABRT)
    why = ""
    if number == signal.SIGKILL:
        why = (
            " The system may have run out of memory: 'preflab plan' with the same words says what "
            "the job needs, and a smaller runtime.micro_batch and runtime.offload=true need less."
        )
    print(
        f"preflab: process {rank} of {len(codes)} was killed by {signal.Signals(number).name}; "
        "what the others say above comes of losing it. The same command goes on from the last "
        f"checkpoint.{why}",
        file=sys.stderr,
    )


def main() -> None:
    """One of the processes: run the job that the starter hands over as JSON."""
    given = json.loads(sys.argv[1])
    end_with(given.pop("parent"))
    folder, config = Path(given.pop("folder")), given["config"]
    quiet_libraries()
    code = 0
    try:
        execute(Job(read(config, registry()), **given), folder)
    except BaseException as error:
        code = exit_code(error) or 1  # an exit with 0 is no success before the job is complete
        show(error, _log(error, folder / ERROR))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # an ordinary end would wait for processes that may be gone


def _log(error: BaseException, log: Path) -> Path | None:
    """The log if this error belongs there: that of process 0, or what a person can mend. What is
    there already comes from the process that failed first."""
    stated = isinstance(error, PreflabError)
    told = log.is_file() and log.stat().st_size > 0
    return log if (stated or is_main()) and not told else None


if __name__ == "__main__":
    main()
