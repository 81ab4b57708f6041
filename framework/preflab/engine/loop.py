"""One loop for every stage: restore, step, log, checkpoint, and stop cleanly when asked to."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from preflab.cost import Spent, Work
from preflab.engine.alike import Alone
from preflab.engine.circumstances import differences
from preflab.engine.parts import Parts
from preflab.errors import NumericError, StorageError, UserError
from preflab.interfaces import Procedure, ShowsBatch, State, TrainsOn
from preflab.planning.going_on import INPUT, different, why_not
from preflab.randomness import Streams
from preflab.settings import CheckpointConfig as CheckpointConfig
from preflab.sharding import gathered
from preflab.signals import Stopped as Stopped
from preflab.signals import StopRequest
from preflab.storage import checkpoints
from preflab.storage.artifacts import FAILED as FAILED
from preflab.storage.artifacts import LAST, METRICS, STATE, file_digest, files_below, read_rows
from preflab.storage.durable import cached_digest, free, limited, sync_below, writing


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
    pins: Mapping[str, str] = field(default_factory=dict)
    """Digests of what the stage is made from, the reference and the reward model among it; a
    checkpoint is resumed with no others."""
    circumstances: Mapping[str, Any] = field(default_factory=dict)
    """What may change last bits, threads among it; noted in checkpoints, reported when it differs.
    """
    spent: Spent = field(default_factory=Spent)
    """The work of the stage; noted in checkpoints."""
    parts: Parts | None = None
    """Of processes that divide weights: how each reads its part, and writes it where the settings
    say so (`CheckpointConfig.sharded`); else process 0 gathers the weights and writes."""
    together: Callable[[Callable[[], None]], None] = lambda check: check()
    """Runs on every process what one of them may fail at (`preflab.engine.alike.together`)."""
    _took: float = field(default=0.0, init=False)
    """Seconds of the last save."""
    _work: Work | None = field(default=None, init=False)
    """The work up to the checkpoint that was resumed."""

    def run(self) -> float:
        """All remaining steps; seconds spent. Raises `Stopped` after a checkpoint, `NumericError`
        before a bad step counts."""
        started = time.monotonic()
        with writing(self.stage, self.folder):
            self._run()
        return time.monotonic() - started

    def _run(self) -> None:
        saved = time.monotonic()
        step = self._restore()
        self.together(lambda: self._check_room(step))
        self._tell_of_state(step)
        if self._work is not None:
            self.spent.goes_on(self._work)
        request, planned = StopRequest(), self.procedure.total_steps
        self.observe(
            "preflab_stage_started",
            stage=self.stage,
            total_steps=self.procedure.total_steps,
            history=read_rows(self.folder / METRICS),
        )
        with request.listening():
            while step < self.procedure.total_steps:
                self._log(step, self._do(step))
                self.spent.count()
                step += 1
                signum, due = self.agreed((request.signum, self._due(step, saved)))
                if signum:
                    self._save(step)
                    raise Stopped(signum)
                if step < self.procedure.total_steps and due:
                    self._save(step)
                    saved = time.monotonic()
        if step < planned:
            ended = f"{self.stage} ended by itself after step {step} of {planned}"
            self._tell([ended], "early stopping is a result, not an error")
        self.together(self._check_complete)
        self._save_result(step)

    def _save_result(self, step: int) -> None:
        """The result, and the state after the last step. Every process takes part, since each may
        hold a part of the weights; process 0 writes."""
        if not self.main_process:
            with tempfile.TemporaryDirectory(prefix="preflab-") as nowhere:
                self.procedure.save(Path(nowhere))
            if self._keeps_last(self._size):
                self._write(LAST, step, self._state(), {})
            return
        with writing(f"the result of {self.stage}", self.folder, self._size):
            self.procedure.save(self.folder)
            if self._keeps_last(self._size):
                self._write(LAST, step, self._state(), self._facts({}))

    def _keeps_last(self, size: int) -> bool:
        """Whether the state after the last step, of so many bytes, stays in the artifact."""
        limit = self.settings.state_mb
        return isinstance(self.procedure, TrainsOn) and (limit is None or size <= limit * 1e6)

    def _tell_of_state(self, step: int) -> None:
        """Say before the work if nobody will be able to train on."""
        size = self._size * (1 if step else 3)  # with the moments, as in `_check_room`
        if isinstance(self.procedure, TrainsOn) and not self._keeps_last(size):
            self._tell(
                [f"the last state of {self.stage} will have about {size / 1e6:,.0f} MB"],
                f"it is not kept (checkpoint.state_mb={self.settings.state_mb:g}), so that no run "
                "can train on from this one",
            )

    def _check_complete(self) -> None:
        """A resumed stage that lacks steps must not pass for a finished one."""
        if not self.main_process:
            return
        done = [row["step"] for row in read_rows(self.folder / METRICS)]
        if done != list(range(self.procedure.total_steps)):
            raise StorageError(
                f"{self.folder}: {self.stage} is at its end, but its log holds {len(done)} of its "
                f"{self.procedure.total_steps} steps. Remove {self.folder} to make the stage again."
            )

    def _due(self, step: int, saved: float) -> bool:
        every = self.settings.every_steps
        by_steps = every is not None and step % every == 0
        return by_steps or time.monotonic() - saved >= self.settings.wait(self._took)

    def _do(self, step: int) -> Mapping[str, float]:
        """One step; a `NumericError` says where the batch is kept that caused it."""
        try:
            metrics = self.procedure.step(step)
            losses = {name: value for name, value in metrics.items() if name.startswith("loss/")}
            bad = {name: value for name, value in losses.items() if not math.isfinite(value)}
            if bad:
                raise NumericError(
                    f"{self.stage}, step {step}: {bad} is not finite. The last checkpoint is from "
                    "before this step."
                )
        except NumericError as error:
            raise NumericError(f"{error}{self._keep_batch(step)}") from error
        return metrics

    def _keep_batch(self, step: int) -> str:
        """Keep what the step read, so that a person can look at it; a sentence that says where, ""
        if the procedure does not show it."""
        if not isinstance(self.procedure, ShowsBatch) or not self.main_process:
            return ""
        try:
            folder = checkpoints.save(
                self.folder / STATE / FAILED, step, self.procedure.batch(step)
            )
        except Exception as error:  # it must not hide the error that the step ended with
            return f" The batch could not be kept: {type(error).__name__}: {error}."
        return (
            f" The batch of this step is kept: see {folder / 'state.json'} (texts and tokens) and "
            "tensors.safetensors next to it."
        )

    def _log(self, step: int, metrics: Mapping[str, float]) -> None:
        if self.main_process:
            row = json.dumps({"step": step, **{k: float(v) for k, v in metrics.items()}})
            with (self.folder / METRICS).open("a", encoding="utf8") as stream:
                stream.write(row + "\n")
        self.observe("preflab_step_finished", stage=self.stage, step=step, metrics=metrics)

    @property
    def _size(self) -> int:
        return checkpoints.size(self.procedure.state_dict())

    def _check_room(self, step: int) -> None:
        """Before any step: room for the checkpoints that are kept and the one being written. Before
        the first step there are no moments yet, and AdamW will keep two numbers per weight."""
        if not self.main_process or step >= self.procedure.total_steps:
            return
        needed = (checkpoints.KEEP + 1) * self._size * (1 if step else 3)
        held = sum(path.stat().st_size for path in files_below(self.folder))
        if needed > free(self.folder) + held:
            raise StorageError(
                f"{self.stage}: its checkpoints will need about {needed - held:,} bytes in "
                f"{self.folder}, {free(self.folder):,} are free. Nothing was computed: make room, "
                "or set artifacts.dir to a larger disk."
            )

    def _save(self, step: int) -> None:
        began = time.monotonic()
        state = self._state()
        what = f"the checkpoint of {self.stage} after step {step}"
        facts: dict[str, Any] = {}

        def note() -> None:
            if self.main_process:
                sync_below(self.folder, without=STATE)
                work = {"tokens": self.spent.total.tokens, "flops": self.spent.total.flops}
                facts.update({**self._facts(self._files()), "work": work})

        with limited(self.settings.limit_seconds, what):
            self._all_write(what, checkpoints.size(state), note)
            folder = self._write(STATE, step, state, facts)
        self._took = time.monotonic() - began
        self.observe("preflab_checkpoint_saved", stage=self.stage, step=step, folder=folder)

    def _state(self) -> dict[str, Any]:
        """What a checkpoint holds: every tensor whole, and on other processes than 0 no weights,
        unless each process writes its parts."""
        state = self.procedure.state_dict()
        if self.parts is None or not self.settings.sharded:
            state = gathered(state, keep=self.main_process)
        return {"procedure": state, "streams": self.streams.state_dict()}

    def _write(self, below: str, step: int, state: State, facts: Mapping[str, Any]) -> Path | None:
        """Save a state in a folder of checkpoints; None on a process that writes nothing."""
        if self.parts is not None and self.settings.sharded:
            return self.parts.save(self.folder / below, step, state, facts)
        made: list[Path] = []

        def save() -> None:
            if self.main_process:
                made.append(checkpoints.save(self.folder / below, step, state, facts))

        what = f"the checkpoint of {self.stage} after step {step}"
        self._all_write(what, checkpoints.size(state), save)
        return made[0] if made else None

    def _all_write(self, what: str, size: int, write: Callable[[], None]) -> None:
        """Write on every process; a refusal of the disk of one becomes a `StorageError` of all."""

        def check() -> None:
            with writing(what, self.folder, size):
                write()

        self.together(check)

    def _facts(self, files: Mapping[str, Any]) -> dict[str, Any]:
        """What a checkpoint notes of its making. files: what the stage had written before it."""
        made = {"pins": dict(self.pins), "circumstances": dict(self.circumstances)}
        return {**made, "files": dict(files)}

    def _files(self) -> dict[str, list[Any]]:
        """[bytes, digest] of every file that the stage has written so far, its log included."""
        files = {str(path.relative_to(self.folder)): path for path in self._written()}
        return {name: [path.stat().st_size, cached_digest(path)] for name, path in files.items()}

    def _written(self) -> list[Path]:
        below = files_below(self.folder)
        return [path for path in below if path.relative_to(self.folder).parts[0] != STATE]

    def _restore(self) -> int:
        """Take over the newest checkpoint that is whole; without one, start over and remove
        half-written logs."""
        problems = []
        for folder in self._candidates(self.folder / STATE):
            try:
                facts = self._facts_in(folder)
                self._check_pins(folder, facts["pins"])
                self.together(partial(self._check_files, facts["files"]))
                step = self._load(folder)
            except _Unusable as error:
                raise StorageError(str(error)) from None
            except Alone as error:
                raise StorageError(f"{error}. {error.who} {_CURE.format(folder)}") from None
            except StorageError as error:
                problems.append(str(error))
                continue
            self._roll_back(facts["files"])
            self._work = Work(**facts.get("work", {}))
            self._tell(problems, f"resuming from {folder.name}")
            self._tell_differences(folder, facts["circumstances"])
            return step
        self._roll_back({})
        self._tell(problems, f"no checkpoint is whole: {self.stage} starts over")
        earlier = self.procedure.begins_from if isinstance(self.procedure, TrainsOn) else None
        return 0 if earlier is None else self._train_on(earlier)

    def _candidates(self, root: Path) -> list[Path]:
        """The checkpoints that process 0 sees, newest first."""
        return [root / name for name in self.agreed([c.name for c in checkpoints.candidates(root)])]

    def _facts_in(self, folder: Path) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        self.together(lambda: facts.update(checkpoints.facts(folder)))
        return facts

    def _load(self, folder: Path) -> int:
        """Take over the state of a checkpoint: the number of its steps. No process takes it over
        unless all have read it."""
        found: list[tuple[int, State]] = []
        if self.parts is not None:
            found.append(self.parts.load(folder))
        else:
            self.together(lambda: found.append(checkpoints.load(folder)))
        ((step, state),) = found
        self.procedure.load_state_dict(state["procedure"])
        self.streams.load_state_dict(state["streams"])
        return step

    def _train_on(self, earlier: Path) -> int:
        """Take over the last state of an earlier artifact, and its log: the number of its steps."""
        folder = next(iter(self._candidates(earlier / LAST)), None)
        if folder is None:
            raise StorageError(f"{earlier} holds no state to train on from: it was removed")
        facts = self._facts_in(folder)
        pins = ({k: v for k, v in p.items() if k != "recipe"} for p in (facts["pins"], self.pins))
        for name in different(*pins):
            raise UserError(
                f"{self.stage} cannot train on from {earlier}, made with another "
                f"{name.removeprefix(INPUT)} than this run has: {why_not(self.stage)}"
            )
        step = self._load(folder)
        if step >= self.procedure.total_steps:
            raise UserError(
                f"{self.stage} cannot train on from {earlier}: it has ended by itself after {step} "
                "steps (early stopping). Raise the patience that ended it."
            )
        if self.main_process:
            (self.folder / METRICS).write_bytes((earlier / METRICS).read_bytes())
        self._tell_differences(folder, facts["circumstances"])
        return step

    def _check_pins(self, folder: Path, pins: Mapping[str, str]) -> None:
        """Refuse to resume with another reference, reward model or other input than the steps so
        far were made with."""
        names = sorted({*pins, *self.pins})
        for name in (n for n in names if pins.get(n) != self.pins.get(n)):
            then, now = (p.get(name, "none")[:16] for p in (pins, self.pins))
            raise _Unusable(
                f"{folder} was made with another {name} ({then}) than there is now ({now}): "
                f"resuming would mix the two. Bring the old one back, or remove {self.folder} to "
                "make the stage again from the start."
            )

    def _check_files(self, files: Mapping[str, Any]) -> None:
        """`StorageError` for a file that the stage wrote before the checkpoint and that has changed
        since."""
        for name, (size, digest) in files.items():
            path = self.folder / name
            if not path.is_file() or file_digest(path, size) != digest:
                raise StorageError(f"{path} {'was changed' if path.is_file() else 'is missing'}")

    def _roll_back(self, files: Mapping[str, Any]) -> None:
        """Bring files back to what they were at a checkpoint: those of steps that will be
        repeated are removed, and so are their rows, so that every step has one row in the log."""
        if not self.main_process:
            return
        for path in self._written():
            name = str(path.relative_to(self.folder))
            if name in files:
                os.truncate(path, files[name][0])
            elif files or name == METRICS:
                path.unlink()

    def _tell_differences(self, folder: Path, then: Mapping[str, Any]) -> None:
        if different := differences(then, self.circumstances):
            saved = f"{folder.name} of {self.stage} was saved with {different}"
            self._tell([saved], "the last bits may differ")

    def _tell(self, problems: Sequence[str], consequence: str) -> None:
        for problem in problems if self.main_process else ():
            os.write(2, f"preflab: {problem}; {consequence}\n".encode())


_CURE = (
    "Nothing was changed. Let every process read it, then give the same command again; or remove "
    "{}, and the command goes on from the checkpoint before."
)


class _Unusable(Exception):
    """A checkpoint that is whole but must not be resumed."""


def observer(call: Callable[..., None], main_process: bool) -> Callable[..., None]:
    """Observers run in the main process only."""

    def observe(hook: str, **arguments: Any) -> None:
        if main_process:
            call(hook, **arguments)

    return observe
