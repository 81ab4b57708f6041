"""The three ways to show progress: silent, plain lines, and a bar."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from preflab import hookimpl
from preflab.terminal import duration

QUIET = "PREFLAB_QUIET"
_POLICY_LOSS = "loss/policy_avg"
"""That of the algorithms that sample; the losses of their gradient terms may stand before it."""
_SHOWN = {
    "objective/kl": "kl",
    "objective/scores": "reward",
    "select/score": "reward",
    "reward_model/accuracy": "accuracy",
}
"""Which metrics are shown next to the bar, after the loss, and their labels."""


def choose(stages: Sequence[str], stream: TextIO | None = None) -> Display:
    """Silent with PREFLAB_QUIET=1, a bar if the stream (stderr) is a terminal, else plain lines."""
    stream = sys.stderr if stream is None else stream
    if os.environ.get(QUIET, "") not in ("", "0"):
        return Display(stages)
    return Bar(stages, stream) if stream.isatty() else Lines(stages, stream)


def headline(metrics: Mapping[str, float]) -> str:
    """Loss, KL and reward of a step, as far as it has them; not the loss of a gradient term.

    >>> headline({"lr": 0.1, "loss/sft": 1.25, "objective/kl": 0.5, "objective/scores": -2.0})
    'loss 1.250  kl 0.500  reward -2.000'
    """
    losses = {name: value for name, value in metrics.items() if name.startswith("loss/")}
    own = losses.get(_POLICY_LOSS, next(iter(losses.values()), None))
    shown = [] if own is None else [("loss", own)]
    shown += [(label, metrics[name]) for name, label in _SHOWN.items() if name in metrics]
    return "  ".join(f"{label} {value:.3f}" for label, value in shown)


class Display:
    """Shows nothing; the other two build on it. stages: names of the run's stages in order."""

    def __init__(self, stages: Sequence[str]) -> None:
        self.stages = list(stages)

    def line(self, text: str) -> None:
        """One line of text."""

    def begin(self, stage: str, total_steps: int, done: int) -> None:
        """A stage begins; an earlier run did ``done`` of its steps."""

    def step(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """A step is done."""

    def close(self) -> None:
        """Leave the terminal as it was."""

    def place(self, stage: str) -> str:
        """The stage with its number among the run's, as "[2/6] sft"."""
        number = self.stages.index(stage) + 1 if stage in self.stages else "-"
        return f"[{number}/{len(self.stages)}] {stage}"

    @hookimpl
    def preflab_run_started(self, folder: Path) -> None:
        self.line(f"run {folder}: {', '.join(self.stages) or 'no stages'}")

    @hookimpl
    def preflab_stage_started(
        self, stage: str, total_steps: int, history: Sequence[Mapping[str, Any]]
    ) -> None:
        self.begin(stage, total_steps, len(history))

    @hookimpl
    def preflab_stage_reused(self, stage: str) -> None:
        self.line(f"{self.place(stage)}: reused")

    @hookimpl
    def preflab_step_finished(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        self.step(stage, step, metrics)

    @hookimpl
    def preflab_stage_finished(self, stage: str, seconds: float) -> None:
        self.close()
        self.line(f"{self.place(stage)}: finished in {duration(seconds)}")

    @hookimpl
    def preflab_run_finished(self) -> None:
        self.close()

    preflab_run_failed = preflab_run_finished


class Lines(Display):
    """One line at about every tenth of a stage, but not within a second of the last one: for logs
    and batch systems."""

    spacing = 1.0

    def __init__(self, stages: Sequence[str], stream: TextIO) -> None:
        super().__init__(stages)
        self.stream = stream
        self.total = self.done = 0
        self.began = self.shown = 0.0

    def line(self, text: str) -> None:
        self.stream.write(f"preflab: {text}\n")
        self.stream.flush()

    def begin(self, stage: str, total_steps: int, done: int) -> None:
        self.total, self.done = total_steps, done
        self.began = self.shown = time.monotonic()
        if done:
            self.line(f"{self.place(stage)}: resumes after step {done} of {total_steps}")

    def step(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        finished = step + 1
        # The last step gets no line of its own: "finished" follows.
        if finished * 10 // self.total == step * 10 // self.total or finished == self.total:
            return
        now = time.monotonic()
        if now - self.shown < self.spacing:
            return
        self.shown = now
        left = (now - self.began) / (finished - self.done) * (self.total - finished)
        parts = (
            f"{self.place(stage)}: {finished}/{self.total}",
            headline(metrics),
            f"{duration(left)} left",
        )
        self.line("  ".join(part for part in parts if part))


class Bar(Display):
    """One bar per stage, redrawn in place. A finished stage leaves a line above it."""

    def __init__(self, stages: Sequence[str], stream: TextIO) -> None:
        super().__init__(stages)
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        shown = TextColumn("{task.fields[shown]}", markup=False)
        self.progress: Any = Progress(
            *columns, shown, console=Console(file=stream), transient=True, redirect_stdout=False
        )
        self.task: Any = None

    def line(self, text: str) -> None:
        from rich.text import Text

        self.progress.console.print(Text(f"preflab: {text}"))

    def begin(self, stage: str, total_steps: int, done: int) -> None:
        self.close()
        self.progress.start()
        self.task = self.progress.add_task(
            self.place(stage), total=total_steps, completed=done, shown=""
        )

    def step(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        if self.task is not None:
            self.progress.update(self.task, completed=step + 1, shown=headline(finite))

    def close(self) -> None:
        """Take the bar away; between stages nothing is redrawn, so that messages stay readable."""
        if self.task is not None:
            self.progress.remove_task(self.task)
            self.task = None
        self.progress.stop()
