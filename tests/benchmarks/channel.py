"""How the benchmark and its workers talk: one JSON object per line. Imports nothing but Python, as
the peers' environment does.

A worker loads its models, says that it is ready, and then does one unit of work for each {"do":
...} it is sent, while the other side's worker waits for its turn.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO


def _gpu() -> Any:
    """torch.cuda, if this process has used a GPU."""
    torch = sys.modules.get("torch")
    return (
        torch.cuda
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
        else None
    )


def peak_mb() -> float:
    """Most memory that this process ever held, MB, since its program was loaded; of a GPU, if it
    uses one."""
    if gpu := _gpu():
        return float(gpu.max_memory_allocated() / 2**20)
    status = Path("/proc/self/status").read_text(encoding="utf8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    """Let `peak_mb` count from now on."""
    if gpu := _gpu():
        gpu.reset_peak_memory_stats()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf8")


class Turns:
    """The worker's end. What libraries print goes to the error output instead of between the
    answers."""

    def __init__(self) -> None:
        self._answers: TextIO = os.fdopen(os.dup(1), "w", encoding="utf8")
        os.dup2(2, 1)
        self._started, self._cpu = time.perf_counter(), time.process_time()

    def wait(self) -> dict[str, Any]:
        """The next command; its clock starts now. Ends the process when it is told to, or when
        nobody listens any more."""
        line = sys.stdin.readline()
        command: dict[str, Any] = json.loads(line) if line.strip() else {"do": "quit"}
        if command["do"] == "quit":
            os._exit(0)
        self._started, self._cpu = time.perf_counter(), time.process_time()
        return command

    def answer(self, **facts: Any) -> None:
        """Tell what was done since the command came (at first: since the start), how long it
        took, by the clock and of CPU time, and the peak of memory."""
        if gpu := _gpu():
            gpu.synchronize()
        took = {
            "seconds": time.perf_counter() - self._started,
            "cpu_seconds": time.process_time() - self._cpu,
        }
        self._answers.write(json.dumps({**took, "peak_mb": peak_mb(), **facts}) + "\n")
        self._answers.flush()


class Worker:
    """The benchmark's end: a process of its own that waits for its turn. job: what it is told on
    its command line."""

    def __init__(
        self,
        python: str,
        module: str,
        job: Mapping[str, Any],
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        self.name, self.size, self.log = (
            f"{module} ({job['name']}, {job['size']})",
            str(job["size"]),
            log,
        )
        with log.open("w", encoding="utf8") as errors:
            self._process = subprocess.Popen(
                [python, "-m", module, json.dumps(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment},
                text=True,
            )
        self.ready = self._read()

    def ask(self, what: str, **more: Any) -> dict[str, Any]:
        """Have one unit done; what the worker says of it. RuntimeError if it dies, with the end
        of its log."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            end = self.log.read_text(encoding="utf8", errors="replace")[-3000:]
            raise RuntimeError(
                f"{self.name} ended with exit code {code}. The end of {self.log}:\n{end}"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def job_of(arguments: Sequence[str]) -> dict[str, Any]:
    """A worker's job, from its command line."""
    job: dict[str, Any] = json.loads(arguments[1])
    return job
