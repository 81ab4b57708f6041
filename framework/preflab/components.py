"""What a plugin registers: a component has a kind, a name, a typed config, and builds what its
kind's protocol asks for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from preflab.errors import PluginError
from preflab.records import RECORD_TYPES

if TYPE_CHECKING:
    from preflab.interfaces import Context, Procedure
    from preflab.memory import ModelShape


@dataclass(frozen=True)
class Inspection:
    """What a component's configured inputs are, read before any work and without torch.

    content: digest of everything outside the config that decides the result (data files, weights,
    a hub commit). records: number of records of each type (data). tokenizer: digest of the
    tokenizer files (policy, reward model). pretrained: the policy brings weights, so that the
    pretraining stage is skipped. parameters: how many numbers these weights are (0: not known),
    by which learning rates are judged. shape: the policy's sizes, as far as they are known before
    data is read (`plan` reckons memory from them). gold: the data knows the true utility; the
    names of its parts, the sum included, if they are known. families: of its documents, if known.
    flags: what people of the data's world may tick about a response.
    rejected:
    ``file:line: field: reason`` of every row that was left out, by record type; each run folder
    holds them.
    notices: sentences that a person should read before the first stage, counted and with an example
    of what they are about.
    waiting: a sentence on what people have yet to do before the component can be used, "" if it
    can. A run then makes the stages before the first one that uses it, says the sentence, in which
    ``{run}`` stands for its folder, and ends with exit code 6; the same command goes on. A data
    source that waits names the types of records that it will have, with 0 for an unknown number.
    goes_on: folder of an artifact whose training the component goes on with: refused unless it was
    made from the same stages and records, with the same seed.
    unrated: of labelers who rank and rate no response, the words that have them rate; "" if they
    may rate.
    on_record: labelers who say only what their people have said of responses that they were shown.
    """

    content: str = ""
    records: Mapping[str, int] = field(default_factory=dict)
    tokenizer: str = ""
    pretrained: bool = False
    parameters: int = 0
    shape: ModelShape | None = None
    gold: bool | Sequence[str] = False
    families: Sequence[str] = ()
    flags: Sequence[str] = ()
    rejected: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notices: Sequence[str] = ()
    waiting: str = ""
    unrated: str = ""
    on_record: bool = False
    goes_on: str = ""


NEEDS = (
    *RECORD_TYPES,
    *("samples", "reward_model", "scalar_model", "pretrained", "labeler", "gold", "ratings"),
    *("policy", "own_policy"),
)
"""What a component can say that it needs: records of a type for training ("prompts"), or of another
split ("prompts:test"; "rankings:test,validation": of one of the two), the pool of K responses to
each prompt (`preflab.pool`), a reward model, one that is `preflab.interfaces.OfMembers`
("reward_model:members": its config says so by a method ``of_members()``), one that says of each
response how much people differ about it ("reward_model:variance": ``of_variance()``), a policy of
which scalar models can be made (reward models and value networks that are trained), a policy with
pretrained weights (its own or from the pretraining stage), people who rank ("labeler:any": who can
be asked about responses that nobody has shown them), rankings with a rating of each response
("ratings"), a world whose true utility is known, the policy in a role ("policy:ROLE" or
"policy:ROLE/CHECKPOINT", which is refused before any work if no stage makes that role, or keeps no
such checkpoint), the same without falling back to the policy of an earlier stage where this run
leaves out the stage that makes it ("own_policy:ROLE")."""


@dataclass(frozen=True)
class Place:
    """A function or class by its place ``"package.module:name"``, imported at its first call."""

    place: str

    def __call__(self, *arguments: Any) -> Any:
        return self.target()(*arguments)

    def target(self) -> Callable[..., Any]:
        """The function or class itself; `PluginError` if the module has no such name."""
        module, _, name = self.place.partition(":")
        function: Callable[..., Any] | None = getattr(importlib.import_module(module), name, None)
        if function is None:
            raise PluginError(
                f"'{self.place}' is not a function or class: {module} has no '{name}'"
            )
        return function


@dataclass(frozen=True, init=False)
class Component:
    """What a plugin provides: a kind and a name, a typed config, and how to build it.

    Functions may be given as their place ``"package.module:name"``: the module is then imported
    when the function is first called, so that registering imports no torch. A class counts as a
    function that returns its instance.

    config_class: a plain (not frozen) dataclass made with `preflab.option`; its field ``name``
    equals this name.
    build: (config, context) -> the object that others use. None: the default of the kind (the
    default of an algorithm is sampling from the policy in its artifact).
    procedure: (config, context) -> the `Procedure` that makes the stage's artifact. None: it
    makes no stage.
    needs: words of `NEEDS`, or a function of the config that returns some.
    nested: config fields that hold components (a mapping by any key, or a list), and their kind; a
    field of a nested dataclass as ``watch.evaluators``.
    inspect: config -> `Inspection` of its outside inputs; raises `UserError` naming file and line
    for bad ones.
    preflight: (config, context) -> sentences that a person should read before the first stage of a
    run. It is called once before that stage, with the records, the tokenizer and the choices of the
    run (but no model that a stage makes), for every component that a stage to be made uses. What it
    reads decides no result, so that nothing of it need be declared. It
    raises `UserError`, with the cure for this very command, for whatever is known to fail later;
    `preflab.errors.Absent` for what is not there now, such as a server: a plan says it and goes on.
    checkpoint: (config, name) -> why its stage will keep no checkpoint of that name, with the cure,
    as the end of a sentence; "" if it may keep one. None: that is not known before the stage is
    made.
    """

    kind: str
    name: str
    config_class: type[Any]
    build: Callable[[Any, Context], Any] | None
    procedure: Callable[[Any, Context], Procedure] | None
    needs: Callable[[Any], Sequence[str]]
    nested: Mapping[str, str]
    inspect: Callable[[Any], Inspection]
    preflight: Callable[[Any, Context], Iterable[str]]
    checkpoint: Callable[[Any, str], str] | None

    def __init__(
        self,
        kind: str,
        name: str,
        config_class: type[Any],
        build: Callable[[Any, Context], Any] | str | None = None,
        procedure: Callable[[Any, Context], Procedure] | str | None = None,
        needs: Callable[[Any], Sequence[str]] | Sequence[str] = (),
        nested: Mapping[str, str] = MappingProxyType({}),
        inspect: Callable[[Any], Inspection] | str | None = None,
        preflight: Callable[[Any, Context], Iterable[str]] | str | None = None,
        checkpoint: Callable[[Any, str], str] | str | None = None,
    ) -> None:
        facts = {"kind": kind, "name": name, "config_class": config_class, "nested": nested}
        facts |= {"build": _function(build), "procedure": _function(procedure)}
        words = isinstance(needs, (list, tuple))  # anything else is refused when it is registered
        facts["needs"] = partial(_constant, cast(Sequence[str], needs)) if words else needs
        facts["inspect"] = _nothing_outside if inspect is None else _function(inspect)
        facts["preflight"] = _nothing_to_say if preflight is None else _function(preflight)
        facts["checkpoint"] = _function(checkpoint)
        for field_name, value in facts.items():
            object.__setattr__(self, field_name, value)

    @property
    def looks_ahead(self) -> bool:
        """Whether it has a preflight of its own."""
        return self.preflight is not _nothing_to_say

    def modules(self) -> list[str]:
        """Modules that hold the functions that decide a result, as far as they were given by their
        places."""
        functions = (self.build, self.procedure, self.inspect)
        return [f.place.partition(":")[0] for f in functions if isinstance(f, Place)]


def keeps_none(config: Any, name: str) -> str:
    """For `Component.checkpoint`: of a stage that keeps no checkpoints."""
    return "keeps no checkpoints"


def _function(given: Callable[..., Any] | str | None) -> Callable[..., Any] | None:
    return Place(given) if isinstance(given, str) else given


def _constant(needs: Sequence[str], config: Any) -> Sequence[str]:
    return needs


def _nothing_outside(config: Any) -> Inspection:
    return Inspection()


def _nothing_to_say(config: Any, context: Context) -> Iterable[str]:
    return ()
