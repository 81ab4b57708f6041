"""A run: one composed config as typed choices, and the stages that follow from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preflab.door.choice import Choice
from preflab.door.registry import Registry
from preflab.kinds import StageGraph
from preflab.planning.asking import inspect, words
from preflab.records import RECORD_TYPES
from preflab.settings import RunSettings
from preflab.study import StudyConfig


@dataclass(frozen=True)
class Stage:
    """A stage that this run needs. recipe_id: hash of everything that determines the result."""

    name: str
    choice: Choice
    seed: int
    recipe: Mapping[str, Any]
    recipe_id: str
    makes: str = ""
    """Role of the policy that it makes."""
    waits_for: Choice | None = None
    """A component that it uses and that cannot be used yet."""


@dataclass(frozen=True)
class Run:
    """A checked config. choices: by config group; filters, transforms, trackers: in order; stages:
    in the order of making."""

    choices: Mapping[str, Choice]
    filters: tuple[Choice, ...]
    settings: RunSettings
    registry: Registry
    transforms: tuple[Choice, ...] = ()
    trackers: tuple[Choice, ...] = ()
    stages: tuple[Stage, ...] = ()
    study: StudyConfig | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Content digests of what the components read from outside, by their key in the config, without
    those that cannot be used yet."""
    said: tuple[str, ...] = ()
    """What was decided for this machine, in sentences for people."""
    presets: Mapping[str, str] = field(default_factory=dict)
    """By config group: the option that it was composed from, as it is typed."""

    @property
    def preparation(self) -> tuple[Choice, ...]:
        """What records pass before a stage reads them: filters, then transforms, each in order."""
        return (*self.filters, *self.transforms)

    def typed(self, group: str) -> str:
        """What chooses the component of a config group on a command line: ``algorithm=grpo``."""
        return f"{group}={self.presets.get(group, self.choices[group].name)}"

    def all_choices(self) -> Iterator[Choice]:
        """Every chosen component, nested ones, filters, transforms and trackers included."""
        for choice in (*self.choices.values(), *self.preparation, *self.trackers):
            yield from choice.all()

    @property
    def graph(self) -> StageGraph:
        """All stages that there are, whether or not this run makes them."""
        return self.registry.stage_graph

    @property
    def store_root(self) -> Path:
        """The folder of artifacts."""
        return Path(self.settings.artifacts.dir)

    def source(self, record_type: str) -> Choice:
        """The data component that gives a record type."""
        return self.choices.get(record_type, self.choices["data"])

    def counts(self) -> dict[str, int]:
        """Number of records by type, as their sources count them before filters. Types of which the
        run has no records are missing."""
        counts: dict[str, int] = {}
        for record_type in RECORD_TYPES:
            records = inspect(self.source(record_type)).records
            if record_type in records:
                counts[record_type] = records[record_type]
        return counts

    def stage(self, name: str) -> Stage | None:
        """The stage of that name, if this run makes it."""
        return next((stage for stage in self.stages if stage.name == name), None)

    @property
    def held(self) -> Stage | None:
        """The first stage that waits, because a component that it uses cannot be used yet."""
        return next((stage for stage in self.stages if stage.waits_for), None)

    @property
    def reachable(self) -> tuple[Stage, ...]:
        """The stages that can be made now: those before the first one that waits."""
        held = self.held
        return self.stages if held is None else self.stages[: self.stages.index(held)]

    def makes_stage(self, name: str) -> bool:
        """Whether the component chosen for a stage makes one at all."""
        choice = self.choices.get(self.graph[name].group)
        return choice is not None and choice.component.procedure is not None

    def wanted(self) -> list[str]:
        """Names of the stages to make: those whose component makes one; pretraining only if the
        policy brings no weights, comparisons only if somebody needs rankings that the data does not
        give, samples only if somebody needs them."""
        names = [spec.name for spec in self.graph if self.makes_stage(spec.name)]
        if inspect(self.choices["policy"]).pretrained and "pretrain" in names:
            names.remove("pretrain")
        if "rankings" in self.counts() or not self._asked("rankings", names):
            names = [name for name in names if name != "comparisons"]
        if not self._asked("samples", names):
            names = [name for name in names if name != "samples"]
        return names

    def _asked(self, need: str, names: Sequence[str]) -> bool:
        """Whether a stage of these names needs something."""
        return any(need in words(self.choices[self.graph[name].group]) for name in names)
