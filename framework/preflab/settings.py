"""The keys of a config that are not component groups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from preflab.options import option
from preflab.runtime import RuntimeConfig

_WORK = 4
"""Seconds of work for each second of saving, at least."""


@dataclass
class CheckpointConfig:
    """When to save; a resumed run is bit-identical wherever it is cut."""

    every_seconds: float = option(
        20.0,
        "save when this many seconds have passed since the last save, and at least four times as "
        "long as that save took; 0: after every step",
        ge=0,
        affects_result=False,
    )
    every_steps: int | None = option(
        None, "save after this many steps as well", ge=1, affects_result=False
    )
    limit_seconds: float = option(
        600.0, "a save that takes longer ends the job: its disk hangs", gt=0, affects_result=False
    )
    state_mb: float | None = option(
        256.0,
        "an algorithm's last state (weights, moments, counters) is kept in its artifact, so that a "
        "later run can train on (algorithm.continues), if it has at most this many MB; null: "
        "always; 0: never",
        ge=0,
        affects_result=False,
    )
    sharded: bool = option(
        False,
        "runtime.sharding=full: each process writes and reads its own part of weights and moments, "
        "so that none holds all of them; false: process 0 gathers and writes them",
        affects_result=False,
    )

    def wait(self, took: float) -> float:
        """Seconds from the end of a save, which took so many, to the next: at most a fifth of the
        time goes into saving."""
        return max(self.every_seconds, _WORK * took) if self.every_seconds else 0.0


@dataclass
class ArtifactsConfig:
    """Where results are kept."""

    dir: str = option("artifacts", "folder of artifacts, shared by all runs", affects_result=False)
    reuse: bool = option(
        True,
        "take a stage's artifact if it exists; false makes every stage again",
        affects_result=False,
    )


@dataclass
class RunSettings:
    """The keys of a config that are not component groups."""

    name: str = option(
        "",
        "what the run, or the multirun, is called: the last part of its folder; empty: its time",
        affects_result=False,
    )
    tags: list[str] = option(
        factory=list, doc="words to find the run by: preflab runs --tag", affects_result=False
    )
    note: str = option("", "a sentence about the run, kept with it", affects_result=False)
    seed: int = option(1, "feeds every stage that does not pin its own", ge=0)
    arm: str = option("", "name of this variant in a study's report", affects_result=False)
    fast: bool = option(
        False, "every stage in a few steps (debug=fast): shows that it runs, not how good it is"
    )
    runtime: RuntimeConfig = option(factory=RuntimeConfig, doc="devices and threads")
    checkpoint: CheckpointConfig = option(factory=CheckpointConfig, doc="when to save")
    artifacts: ArtifactsConfig = option(factory=ArtifactsConfig, doc="where results are kept")

    def check(self) -> Iterator[tuple[str, str]]:
        """A name is that of a folder."""
        if self.name and not _NAME.fullmatch(self.name):
            yield (
                "name",
                f"{self.name!r} cannot be the name of a run: at most 100 letters, digits and the "
                "signs - _ . + =, of which the first is a letter or a digit.",
            )


_NAME = re.compile(r"[^\W_][\w.+=-]{0,99}")
LABELS = ("name", "tags", "note")
"""Keys that say what a run is called, and nothing about what it computes."""
