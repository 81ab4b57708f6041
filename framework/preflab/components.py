"""What a plugin registers: a component has a kind, a name, a typed config, and builds what its kind's protocol asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from preflab.records import RECORD_TYPES

if TYPE_CHECKING:
    from preflab.interfaces import Context, Procedure


@dataclass(frozen=True)
class Inspection:
    """What a component's configured inputs are, read before any work and without torch.

    content: digest of everything outside the config that decides the result (data files, weights, a hub commit).
    records: number of records of each type (data). tokenizer: digest of the tokenizer files (policy, reward model).
    pretrained: the policy brings weights, so that the pretraining stage is skipped. gold: the data knows the true utility.
    rejected: ``file:line: field: reason`` of every row that was left out, by record type; each run folder holds them.
    """

    content: str = ""
    records: Mapping[str, int] = field(default_factory=dict)
    tokenizer: str = ""
    pretrained: bool = False
    gold: bool = False
    rejected: Mapping[str, Sequence[str]] = field(default_factory=dict)


NEEDS = (*RECORD_TYPES, "reward_model", "pretrained", "labeler", "gold")
"""What a component can say that it needs: records of a type, a reward model, a policy with pretrained weights (its own or
from the pretraining stage), people who rank, a world whose true utility is known."""


def _no_needs(config: Any) -> tuple[str, ...]:
    return ()


def _nothing_outside(config: Any) -> Inspection:
    return Inspection()


@dataclass(frozen=True)
class Component:
    """What a plugin provides: a kind and a name, a typed config, and how to build it.

    config_class: a plain (not frozen) dataclass made with `preflab.option`; its field ``name`` equals this name.
    build: (config, context) -> the object that others use; imports torch inside. None: the default of the kind (an
    algorithm's default is sampling from the policy in its artifact).
    procedure: (config, context) -> the `Procedure` that makes the stage's artifact; None: this component is no stage.
    needs: words of `NEEDS`, as they follow from the config.
    nested: config fields that hold components (a mapping by any key, or a list), and their kind.
    inspect: reads outside inputs (see `Inspection`); raises `UserError` naming file and line for bad ones.
    """

    kind: str
    name: str
    config_class: type[Any]
    build: Callable[[Any, Context], Any] | None = None
    procedure: Callable[[Any, Context], Procedure] | None = None
    needs: Callable[[Any], Sequence[str]] = _no_needs
    nested: Mapping[str, str] = field(default_factory=dict)
    inspect: Callable[[Any], Inspection] = _nothing_outside
