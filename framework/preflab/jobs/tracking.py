"""The trackers of a run, as observers: intervals, steps of earlier processes, and failures that
cost a tracker and not the run."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab.door.choice import Choice
from preflab.door.plugin import Plugin
from preflab.hookspecs import hookimpl
from preflab.planning.run import Run
from preflab.records import Rollout
from preflab.storage.artifacts import read_rows
from preflab.storage.run_folder import SAMPLES
from preflab.tracking import SAMPLE_FACTS, Sample, TrackedRun, Tracker, number

Earlier = Mapping[tuple[str, int], Sequence[Sample]]
"""Samples by stage and step."""


def trackers(
    run: Run, folder: Path, config: Mapping[str, Any], stages: Sequence[str]
) -> list[tuple[Plugin, object]]:
    """The observers of the trackers that a run chooses, each with its plugin."""
    tracked, earlier = TrackedRun(folder, config, stages), earlier_samples(folder)
    return [(choice.plugin, Tracking(choice, tracked, earlier)) for choice in run.trackers]


class Tracking:
    """One tracker. It is built at once; if that fails, it is not called."""

    def __init__(self, choice: Choice, run: TrackedRun, earlier: Earlier) -> None:
        self._choice, self._config, self._earlier = choice, choice.config, earlier
        self._tracker: Tracker | None = None
        self._skipped: tuple[str, int, Mapping[str, float], float | None] | None = None
        self._guarded(lambda: self._build(run))

    def _build(self, run: TrackedRun) -> None:
        build: Callable[[Any, Any], Any] | None = self._choice.component.build
        assert build is not None, f"tracker '{self._choice.name}' has no build"
        self._tracker = build(self._config, run)

    @hookimpl
    def preflab_stage_started(self, stage: str, history: Sequence[Mapping[str, Any]]) -> None:
        """Steps that this process did not do itself."""
        for row in history:
            step = int(row["step"])
            samples = self._earlier.get((stage, step), ())
            self._show(stage, step, samples)
            self._log(stage, step, {n: number(v) for n, v in row.items() if n != "step"}, None)

    @hookimpl
    def preflab_stage_reused(self, stage: str, history: Sequence[Mapping[str, Any]]) -> None:
        """A whole stage that this process did not do itself."""
        self.preflab_stage_started(stage, history)
        self._end_stage()

    @hookimpl
    def preflab_step_finished(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """The numbers of a step."""
        self._log(stage, step, {n: number(v) for n, v in metrics.items()}, time.time())

    @hookimpl
    def preflab_rollout_finished(
        self, stage: str, step: int, rollout: Rollout, values: Mapping[str, Sequence[float]]
    ) -> None:
        """The first few responses of a step."""
        if self._due(step, self._config.samples_every):
            self._show(stage, step, sampled(rollout, values, self._config.samples))

    @hookimpl
    def preflab_stage_finished(self) -> None:
        """The last step was shown, whatever the interval."""
        self._end_stage()

    @hookimpl
    def preflab_run_finished(self, summary: Mapping[str, Any]) -> None:
        """The run is complete."""
        self._call(lambda tracker: tracker.close(summary))

    @hookimpl
    def preflab_run_failed(self) -> None:
        """The run ended before that."""
        self._call(lambda tracker: tracker.close(None))

    def _log(self, stage: str, step: int, metrics: Mapping[str, float], when: float | None) -> None:
        self._skipped = (stage, step, metrics, when)
        if self._due(step, self._config.every):
            self._skipped = None
            self._call(lambda tracker: tracker.log(stage, step, metrics, when))

    def _show(self, stage: str, step: int, samples: Sequence[Sample]) -> None:
        shown = samples[: self._config.samples]
        if shown and self._due(step, self._config.samples_every):
            self._call(lambda tracker: tracker.show(stage, step, shown))

    def _end_stage(self) -> None:
        last, self._skipped = self._skipped, None
        if last is not None:
            self._call(lambda tracker: tracker.log(*last))
        self._call(lambda tracker: tracker.flush())

    @staticmethod
    def _due(step: int, every: int) -> bool:
        return every > 0 and step % every == 0

    def _call(self, action: Callable[[Tracker], None]) -> None:
        tracker = self._tracker
        if tracker is not None:
            self._guarded(lambda: action(tracker))

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do something with the tracker. One that fails is not called again in this run, which goes
        on: its numbers are in its artifacts."""
        try:
            action()
        except (Exception, SystemExit) as error:
            self._tracker = None
            warnings.warn(
                f"{self._choice.key}: the tracker '{self._choice.name}' of "
                f"{self._choice.plugin.label} is switched off for this run: it raised "
                f"{type(error).__name__}: {error}. The run goes on without it.",
                stacklevel=2,
            )


def sampled(rollout: Rollout, values: Mapping[str, Sequence[float]], most: int) -> list[Sample]:
    """The first responses of a rollout, with their numbers."""
    return [
        Sample(
            prompt_id=rollout.prompts[i].id,
            prompt=rollout.prompts[i].text,
            response=rollout.texts[i],
            terminated=bool(rollout.terminated[i]),
            tokens=int(rollout.response_lengths[i]),
            values={name: number(column[i]) for name, column in values.items()},
        )
        for i in range(min(most, len(rollout)))
    ]


def earlier_samples(folder: Path) -> Earlier:
    """What samples.jsonl of a run folder holds, from a process of the same run that was killed; a
    file that cannot be read holds nothing."""
    found: dict[tuple[str, int], list[Sample]] = {}
    try:
        for row in read_rows(folder / SAMPLES):
            values = {
                n: number(v) for n, v in row.items() if n not in (*SAMPLE_FACTS, "stage", "step")
            }
            sample = Sample(**{name: row[name] for name in SAMPLE_FACTS}, values=values)
            found.setdefault((row["stage"], row["step"]), []).append(sample)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found
