"""Stages, config groups and policy roles. A stage is declared once, here or by a plugin, and
everything else follows from
that: the order of stages, the config groups, what a recipe contains, and which policy has which
role."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from preflab.errors import PluginError, nearest
from preflab.options import option
from preflab.records import RECORD_TYPES, RecordType


@dataclass(frozen=True)
class StageSpec:
    """One stage of a run.

    name: of the stage, and unless stated otherwise of its config group and of its components' kind.
    reads: record types that its result depends on, whether or not its component says so.
    uses: config groups whose result or choice it uses, in addition to the policy and the stages
    before it that make one (those every stage uses).
    makes: role of the policy that it makes, "" if it makes none. A role without a policy of its own
    falls back to the policy of the stage before.
    optional: whether the config may leave it out, with the component ``none``.
    after: name of the stage that it follows (plugins' stages).
    """

    name: str
    reads: tuple[RecordType, ...] = ()
    uses: tuple[str, ...] = ()
    makes: str = ""
    optional: bool = True
    after: str = ""
    group: str = ""
    kind: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.group or self.name)
        object.__setattr__(self, "kind", self.kind or self.group)


_RECORDS: tuple[RecordType, ...] = ("prompts", "demonstrations", "rankings")
"""What the last two stages read; documents only if their component needs them."""
STAGES = (
    StageSpec("pretrain", reads=("documents",), makes="base"),
    StageSpec("sft", reads=("demonstrations",), makes="sft"),
    StageSpec("samples", reads=("prompts",), uses=("rollout",)),
    StageSpec("comparisons", uses=("samples", "labeler")),
    StageSpec("reward_model", reads=("rankings", "demonstrations"), uses=("comparisons",)),
    StageSpec(
        "select",
        reads=("prompts",),
        uses=("rollout", "reward_model"),
        makes="initial",
        optional=False,
    ),
    StageSpec(
        "algorithm",
        reads=_RECORDS,
        uses=("comparisons", "labeler", "rollout", "reward_model"),
        makes="result",
    ),
    StageSpec(
        "evaluation", reads=_RECORDS, uses=("comparisons", "labeler", "rollout", "reward_model")
    ),
)
"""The stages of preflab in the order of making."""

CHOICES = {kind: kind for kind in ("data", "policy", "labeler", "rollout")}
"""Config groups that make no stage, and the kind of component that each chooses."""

SAMPLER = "sampler"
"""Kind of the components that a study names under ``study.search.sampler``."""
LISTS = {"filters": "filter", "transforms": "transform", "trackers": "tracker"}
"""Config groups that hold components by any name, in order, and the kind of these components."""


@dataclass
class NoneConfig:
    """This part of the run is left out."""

    name: str = option("none", "component")


@dataclass(frozen=True)
class StageGraph:
    """The stages of preflab and of plugins, in the order of making."""

    specs: tuple[StageSpec, ...] = STAGES

    def extended(self, more: Iterable[StageSpec]) -> StageGraph:
        """With the stages of a plugin: each is made directly after the stage that it names, and
        every later stage counts it among what it uses. `PluginError` for one that does not fit."""
        specs = list(self.specs)
        for spec in more:
            self._check(spec, specs)
            place = next(i for i, known in enumerate(specs) if known.name == spec.after)
            while place + 1 < len(specs) and specs[place + 1].after == spec.after:
                place += 1
            specs.insert(place + 1, spec)
        return StageGraph(tuple(specs))

    def __iter__(self) -> Iterator[StageSpec]:
        return iter(self.specs)

    def __getitem__(self, name: str) -> StageSpec:
        return next(spec for spec in self.specs if spec.name == name)

    @property
    def groups(self) -> dict[str, str]:
        """Config group -> kind of the component that it chooses: stages, other choices, and record
        types that come from a source of their own."""
        stages = {spec.group: spec.kind for spec in self.specs}
        return CHOICES | stages | dict.fromkeys(RECORD_TYPES, "data")

    @property
    def required(self) -> list[str]:
        """Config groups in which every run chooses something."""
        return [*CHOICES, *(spec.group for spec in STAGES)]

    @property
    def optional_kinds(self) -> list[str]:
        """Kinds of which a run may choose ``none``."""
        return ["labeler", *(spec.kind for spec in self.specs if spec.optional)]

    def used(self, name: str) -> list[str]:
        """Config groups that a stage uses: the policy, the stages before it that make one or belong
        to a plugin, and what it names itself."""
        before = self.specs[: self.specs.index(self[name])]
        made = [spec.group for spec in before if spec.makes or spec.after]
        return list(dict.fromkeys(["policy", *made, *self[name].uses]))

    @property
    def roles(self) -> list[str]:
        """Roles of policies, newest first."""
        return [spec.makes for spec in reversed(self.specs) if spec.makes]

    def makers(self, role: str) -> list[str]:
        """Names of the stages whose policy has a role: the one that makes it and, where a run has
        no such stage, those before it, newest first."""
        names = [spec.name for spec in reversed(self.specs) if spec.makes]
        return names[self.roles.index(role) :]

    @staticmethod
    def _check(spec: StageSpec, known: Sequence[StageSpec]) -> None:
        names, groups = [s.name for s in known], [s.group for s in known]
        if spec.after not in names:
            raise PluginError(
                f"offers the stage '{spec.name}' after '{spec.after}', which is not a stage. "
                f"{nearest(spec.after, names)}"
            )
        taken = {*names, *groups, *CHOICES, *RECORD_TYPES, *LISTS}
        if spec.name in taken or spec.group in taken:
            raise PluginError(
                f"offers the stage '{spec.name}', whose name or config group is taken"
            )
        if spec.makes and spec.makes in [s.makes for s in known]:
            raise PluginError(
                f"offers the stage '{spec.name}' for the role '{spec.makes}', which is taken"
            )
