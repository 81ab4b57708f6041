"""What a tracker is: a place outside of the artifacts where a run's numbers and sampled texts can
be watched. A run chooses its trackers under ``trackers``, by any name, as it does its filters:
``preflab +tracker@trackers.mine=mine trackers.mine.every=10``. They change no number.

    @dataclass
    class MyConfig(TrackerConfig):
        name: str = option("mine", "component")
        url: str = option("", "where to send to", affects_result=False)

    Component("tracker", "mine", MyConfig, build="my_package.sending:MyTracker")

``build(config, run)`` is called at the start of a run, in its first process only; ``run`` is a
`TrackedRun`. preflab applies the intervals, shows every step once, also those of an earlier process
of the same run, and goes on without a tracker that raises, with a warning that names it. What a
tracker needs from outside (a package, a login) is looked at by ``inspect``, before any work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from preflab.errors import require_package
from preflab.options import option


@dataclass
class TrackerConfig:
    """What every tracker has; add ``name`` and options of your own."""

    every: int = option(
        1,
        "steps of a stage between two whose numbers are logged; its last step always is",
        ge=1,
        affects_result=False,
    )
    samples_every: int = option(
        1,
        "steps of a stage between two whose sampled responses are shown; 0: none are",
        ge=0,
        affects_result=False,
    )
    samples: int = option(4, "responses of such a step that are shown", ge=0, affects_result=False)


@dataclass(frozen=True)
class TrackedRun:
    """The run that a tracker is for. config: as plain values; stages: their names."""

    folder: Path
    config: Mapping[str, Any]
    stages: Sequence[str]

    @property
    def title(self) -> tuple[str, str]:
        """What people know it by: its config's name, and its own.

        >>> TrackedRun(Path("runs/config/mine"), {}, ()).title
        ('config', 'mine')
        """
        above, own = self.folder.resolve().parts[-2:]
        return above, own

    def flat_config(self) -> dict[str, Any]:
        """The config with a dotted key for each value."""
        return dict(_flat(self.config))


def _flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def measures_of(summary: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """What the evaluation measured, by name, from a run's summary; {} of a run without one."""
    return dict(((summary or {}).get("evaluation") or {}).get("measures") or {})


@dataclass(frozen=True)
class Sample:
    """One sampled response. tokens: of the response; values: what was measured of it (nan is not
    known), as in {"score": 0.5, "kl": 1.0}."""

    prompt_id: str
    prompt: str
    response: str
    terminated: bool
    tokens: int
    values: Mapping[str, float]


class Tracker(Protocol):
    """Shows one run. Steps are 0-based and counted in each stage anew; names of metrics are unique
    over the run. A run that was killed and goes on builds its trackers again and shows them all of
    its steps from the first: begin the place anew, or skip what it holds."""

    def log(self, stage: str, step: int, metrics: Mapping[str, float], time: float | None) -> None:
        """The numbers of a step, also those that are not finite. time: seconds since 1970; None for
        a step that was done before, by a killed run or for an artifact that is reused."""

    def show(self, stage: str, step: int, samples: Sequence[Sample]) -> None:
        """Responses that were sampled in a step, which may be shown before or after its numbers."""

    def flush(self) -> None:
        """A stage has ended: what was logged should be seen now."""

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """The run has ended. summary: the content of its summary.json; None: it is not complete. A
        run that is killed closes nothing."""


def require(key: str, package: str, extra: str) -> None:
    """`UserError`, with the cure, if the package of a tracker is not installed. key: of the
    tracker's component; extra: of preflab, that brings the package."""
    require_package(f"tracker '{key}'", package, extra, ", or leave the tracker out")


SAMPLE_FACTS = ("prompt_id", "prompt", "response", "terminated", "tokens")
"""What a line of samples.jsonl says of a sample, besides its values."""


def sample_row(stage: str, step: int, sample: Sample) -> dict[str, Any]:
    """A sample as a line of samples.jsonl. Numbers that are not finite are null."""
    facts = {name: getattr(sample, name) for name in SAMPLE_FACTS}
    return {"stage": stage, "step": step, **facts, **finite(sample.values)}


def number(value: Any) -> float:
    """A number of a log; null, which stands for one that is not finite, is nan."""
    return math.nan if value is None else float(value)


def finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Numbers as JSON can hold them: those that are not finite are null."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
