"""The component that a contract tries: its config out of a real composition, and contexts to
build it in."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from preflab.components import Component
from preflab.door.choice import Choice
from preflab.errors import UserError
from preflab.kinds import LISTS, SAMPLER
from preflab.testing.context import FakeContext, component
from preflab.testing.runs import Prints, prints, work
from preflab.testing.world import TinyGold, TinyLabeler, TinyReward, tiny_pool, tiny_records

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from pluggy import PluginManager

NESTED = {
    "gradient_term": "algorithm.terms",
    "reward_shaping": "algorithm.shaping",
    "evaluator": "evaluation.evaluators",
    "guard": "algorithm.guard",
    **{kind: group for group, kind in LISTS.items()},
}
"""Where a composition holds the components of kinds without a config group of their own."""


class Contract(Protocol):
    """What a case needs of a contract class, see `preflab.testing.ComponentContract`."""

    kind: ClassVar[str]
    name: ClassVar[str]
    overrides: ClassVar[Sequence[str]]

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        """Overrides that name files, written into the folder."""

    @classmethod
    def arrange(cls, context: FakeContext) -> None:
        """Changes to every context."""


def chosen(kind: str, name: str, overrides: Sequence[str]) -> Choice:
    """The component as a composition with these overrides chooses it, small (debug=fast)."""
    from omegaconf import OmegaConf

    from preflab.composing.search_path import registry
    from preflab.composing.sweeping import sampler_of

    if kind == SAMPLER:  # a study names it
        return sampler_of(name)
    words = ["debug=fast", *overrides]
    if kind in registry().stage_graph.groups and not any(
        word.startswith(f"{kind}=") for word in overrides
    ):
        words.append(f"{kind}={name}")
    for more in ([], [f"+schema/{kind}@{NESTED[kind]}.{name}={name}"] if kind in NESTED else []):
        config = _composed((*words, *more), registry().manager)
        # Other groups may hold what fits other components only: they are not looked at.
        group = (
            kind
            if kind in registry().stage_graph.groups
            else NESTED.get(kind, kind).partition(".")[0]
        )
        for choice in _choices(group, OmegaConf.to_container(config[group], resolve=True)):
            if (choice.component.kind, choice.name) == (kind, name):
                return choice
    raise UserError(
        f"The composition {' '.join(words)} chooses no {kind} '{name}': name it in 'overrides'."
    )


@lru_cache(maxsize=64)
def _composed(words: tuple[str, ...], plugins: PluginManager) -> DictConfig:
    """What words compose to with these plugins, cached: it takes longer than most tests."""
    from preflab.composing.compose import compose

    return compose(words)


def _choices(group: str, node: Any) -> Iterator[Choice]:
    from preflab.composing.search_path import registry
    from preflab.planning.reading import choose

    for key, kind, item in (
        [(f"{group}.{k}", LISTS[group], v) for k, v in node.items()]
        if group in LISTS
        else [(group, group, node)]
    ):
        yield from choose(registry(), kind, item, key).all()


class Case:
    """One component under test. Contexts are over the tiny world, each in a folder of its own."""

    def __init__(self, contract: Contract, folder: Path) -> None:
        self.contract, self.folder = contract, folder
        self.kind, self.name = contract.kind, contract.name

    @cached_property
    def _choice(self) -> Choice:
        folder = self.fresh_folder("files")
        return chosen(
            self.kind, self.name, [*self.contract.overrides, *self.contract.files(folder)]
        )

    @property
    def choice(self) -> Choice:
        """The component with its typed config, a copy each time."""
        return dataclasses.replace(self._choice, config=deepcopy(self._choice.config))

    @property
    def component(self) -> Component:
        """The component."""
        return component(self.kind, self.name)

    def fresh_folder(self, name: str = "stage") -> Path:
        """A new folder."""
        self.folder.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def context(self, folder: Path | None = None, seed: int = 1, **changes: Any) -> FakeContext:
        """A context over the tiny world; the same one again for the same arguments. Policies do
        not follow the seed."""
        world: Mapping[str, Any] = {
            "reward": TinyReward(),
            "labelers": TinyLabeler(),
            "gold": TinyGold(),
            "pool": tiny_pool(),
            "stage": self.kind,
        }
        records = changes.pop("records", tiny_records())
        context = FakeContext(
            folder or self.fresh_folder(),
            records,
            seed=seed,
            initialisation=1,
            **{**world, **changes},
        )
        self.contract.arrange(context)
        context.asked.clear()
        return context

    def build(self, context: FakeContext | None = None) -> Any:
        """What others use of the component. One that makes a stage is built from a finished one."""
        build = self.component.build
        assert build is not None, (
            f"{self.kind} '{self.name}' builds nothing that others can use: give the component a "
            "'build'"
        )
        if context is None:
            context = self.context(self.finished_folder if self.component.procedure else None)
        return build(self.choice.config, context)

    @cached_property
    def finished_folder(self) -> Path:
        """The folder of the stage that was made without interruption, from seed 1."""
        context = self.context()
        work(self.choice, context)
        return context.folder

    @cached_property
    def finished(self) -> Prints:
        """What a stage that was made without interruption left, from seed 1."""
        return prints(self.finished_folder)
