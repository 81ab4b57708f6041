"""One loop for every stage: restore, step, log, checkpoint, and stop cleanly when asked to."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from preflab import checkpoints
from preflab.artifacts import METRICS, STATE, fsync, read_rows
from preflab.errors import NumericError, StorageError
from preflab.interfaces import Procedure
from preflab.randomness import Streams
from preflab.schemas import option

FAILED = "failed"
"""Below the checkpoints: the batches at which a step ended in a `NumericError`."""


@dataclass
class CheckpointConfig:
    """When to save; a resumed run is bit-identical wherever it is cut."""

    every_seconds: float = option(20.0, "save when this many seconds have passed since the last save", ge=0, affects_result=False)
    every_steps: int | None = option(None, "save after this many steps as well", ge=1, affects_result=False)


class Stopped(BaseException):
    """The run was asked to stop (SIGINT or SIGTERM) and has saved a checkpoint. exit code: 128 + signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum


class StopRequest:
    """Remembers the first SIGINT or SIGTERM; a later one ends the process at once. One that follows within a second is the
    same request, which a launcher has passed on."""

    def __init__(self) -> None:
        self.signum = 0
        self.at = 0.0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals in the main thread; elsewhere leave them alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.signal(s, self._remember) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        if self.signum:
            if time.monotonic() - self.at > 1:
                os._exit(128 + signum)
            return
        self.signum, self.at = signum, time.monotonic()
        os.write(2, b"\npreflab: stopping after this step, with a checkpoint (again: stop at once)\n")


@dataclass
class Loop:
    """Runs one procedure in its partial artifact folder. observe: (hook, **arguments)."""

    stage: str
    procedure: Procedure
    streams: Streams
    folder: Path
    settings: CheckpointConfig
    observe: Callable[..., None]
    agreed: Callable[[Any], Any] = lambda value: value
    """What process 0 holds, on every process (`Runtime.agreed`)."""
    main_process: bool = True

    def run(self) -> float:
        """All remaining steps; seconds spent. Raises `Stopped` after a checkpoint, `NumericError` before a bad step counts."""
        started = saved = time.monotonic()
        step = self._restore()
        if self.agreed(step) != step:
            raise StorageError(f"{self.folder / STATE}: not every process of the job sees the checkpoint that process 0 sees.")
        request = StopRequest()
        self.observe(
            "preflab_stage_started",
            stage=self.stage,
            total_steps=self.procedure.total_steps,
            history=read_rows(self.folder / METRICS),
        )
        with request.listening():
            while step < self.procedure.total_steps:
                self._log(step, self._done(step))
                step += 1
                if signum := self.agreed(request.signum):
                    self._save(step)
                    raise Stopped(signum)
                if step < self.procedure.total_steps and self._due(step, saved):
                    self._save(step)
                    saved = time.monotonic()
        if self.main_process:
            self.procedure.save(self.folder)
        return time.monotonic() - started

    def _due(self, step: int, saved: float) -> bool:
        every = self.settings.every_steps
        return (every is not None and step % every == 0) or time.monotonic() - saved >= self.settings.every_seconds

    def _done(self, step: int) -> Mapping[str, float]:
        """One step; a `NumericError` says where the batch is that it ended at."""
        try:
            metrics = self.procedure.step(step)
            bad = {k: v for k, v in metrics.items() if k.startswith("loss/") and not math.isfinite(v)}
            if bad:
                raise NumericError(
                    f"{self.stage}, step {step}: {bad} is not finite. The last checkpoint is from before this step."
                )
        except NumericError as error:
            raise NumericError(f"{error}{self._kept_batch(step)}") from error
        return metrics

    def _kept_batch(self, step: int) -> str:
        """Keep what the step read, to be looked at; a sentence that says where, "" if the procedure cannot tell."""
        batch = getattr(self.procedure, "batch", None)
        if batch is None or not self.main_process:
            return ""
        try:
            folder = checkpoints.save(self.folder / STATE / FAILED, step, batch(step))
        except OSError as error:
            return f" The batch could not be kept: {error.strerror}."
        return (
            f" The batch of this step is kept: see {folder / 'state.json'} (texts and tokens) and tensors.safetensors beside it."
        )

    def _log(self, step: int, metrics: Mapping[str, float]) -> None:
        if self.main_process:
            row = json.dumps({"step": step, **{k: float(v) for k, v in metrics.items()}})
            with (self.folder / METRICS).open("a", encoding="utf8") as stream:
                stream.write(row + "\n")
        self.observe("preflab_step_finished", stage=self.stage, step=step, metrics=metrics)

    def _save(self, step: int) -> None:
        if not self.main_process:
            return
        log = self.folder / METRICS
        if log.exists():
            fsync(log)
        state = {
            "procedure": self.procedure.state_dict(),
            "streams": self.streams.state_dict(),
            "log_bytes": log.stat().st_size if log.exists() else 0,
        }
        try:
            folder = checkpoints.save(self.folder / STATE, step, state)
        except OSError as error:
            raise StorageError(
                f"The checkpoint of {self.stage} after step {step} could not be written to {self.folder}: {error.strerror}. "
                "The one before it is intact: make room and give the same command again."
            ) from error
        self.observe("preflab_checkpoint_saved", stage=self.stage, step=step, folder=folder)

    def _restore(self) -> int:
        """Take over the newest checkpoint that is whole; without one, begin and forget half-written logs."""
        problems = []
        for folder in checkpoints.candidates(self.folder / STATE):
            try:
                step, state = checkpoints.load(folder)
            except StorageError as error:
                problems.append(str(error))
                continue
            self.procedure.load_state_dict(state["procedure"])
            self.streams.load_state_dict(state["streams"])
            self._cut_log(int(state["log_bytes"]))
            for problem in problems:
                os.write(2, f"preflab: {problem}; going on from {folder.name}\n".encode())
            return step
        self._cut_log(0)
        return 0

    def _cut_log(self, size: int) -> None:
        """Rows of steps that will be done again are removed, so that every step's row stands there once."""
        log = self.folder / METRICS
        if self.main_process and log.exists():
            os.truncate(log, size)


def observer(call: Callable[..., None], main_process: bool) -> Callable[..., None]:
    """Observers run in the main process only."""

    def observe(hook: str, **arguments: Any) -> None:
        if main_process:
            call(hook, **arguments)

    return observe
