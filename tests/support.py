"""Shared by tests: a context over records in memory, tiny policies, and gradients as plain tensors.

context = FakeContext(tmp_path, records=[Prompt("1", "add one two", split="train")], vocabulary=WORDS)
procedure = Pretraining(PretrainConfig(steps=2), context)
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from preflab.components import Component
from preflab.context import SharedEngine
from preflab.interfaces import (
    Gold,
    Labeler,
    Policy,
    PolicySource,
    Responder,
    RewardModel,
    RolloutEngine,
    ScalarModel,
    Tokenizer,
)
from preflab.randomness import Streams, derive_seed
from preflab.records import SPLITS, Demonstration, Document, Prompt, Ranking, Record, RecordType, Rollout, Split
from preflab.runtime import Device, Runtime, RuntimeConfig

torch.set_num_threads(1)

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WORDS: tuple[str, ...] = (*_DIGITS, "plus", "equals", "is", "red", "blue", "please", "thanks", "bad", "good", ".")
"""A closed vocabulary of 20 words for tests (with the three special tokens: 23 ids)."""
_TYPES: dict[str, type[Any]] = {"prompts": Prompt, "demonstrations": Demonstration, "rankings": Ranking, "documents": Document}


def builtin(kind: str, name: str) -> Component:
    """A built-in component, found in the plugin folders without entry points."""
    import preflab_builtin

    broken = []
    for module in pkgutil.iter_modules(preflab_builtin.__path__):
        try:
            components: Sequence[Component] = getattr(
                importlib.import_module(f"preflab_builtin.{module.name}"), "preflab_components", list
            )()
        except ImportError as error:
            broken.append(f"{module.name}: {error}")
            continue
        for component in components:
            if component.kind == kind and component.name == name:
                return component
    raise LookupError(f"no built-in {kind} is called {name}; plugins that cannot be imported: {broken}")


def cpu_runtime(micro_batch: int = 64) -> Runtime:
    """One CPU process with one thread."""
    return Runtime(RuntimeConfig(device=Device.cpu, threads=1, micro_batch=micro_batch))


@dataclass
class SamplingResponder:
    """Answers by sampling from a policy."""

    policy: Policy
    engine: RolloutEngine

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        return self.engine.generate(self.policy, prompts, replace(self.engine.sampling, samples=1), seed)


class FakeContext:
    """The `preflab.interfaces.Context` protocol over records in memory.

    records: of any type, told apart by class; each with its split ("" counts as "train"). source: where policies come from
    (default: a "tiny" policy of 2 layers, width 32, over ``vocabulary``, or over bytes without one). policies: by role;
    a role that is missing gives the source's fresh policy, the same weights every time. Every policy is a copy.
    """

    def __init__(
        self,
        folder: Path,
        records: Sequence[Record] = (),
        *,
        vocabulary: Sequence[str] | None = WORDS,
        seed: int = 1,
        stage: str = "test",
        micro_batch: int = 64,
        source: PolicySource | None = None,
        policies: Mapping[str, Policy] | None = None,
        reward: RewardModel | None = None,
        network: ScalarModel | None = None,
        engine: RolloutEngine | None = None,
        labelers: Labeler | None = None,
        gold: Gold | None = None,
        policy_config: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.stage, self.seed = folder, stage, seed
        self.runtime = cpu_runtime(micro_batch)
        self.streams = Streams(seed, stage)
        self.vocabulary, self.gold = vocabulary, gold
        self.seen: list[tuple[Rollout, Mapping[str, Sequence[float]]]] = []
        self._records, self._policies = list(records), dict(policies or {})
        self._source, self._policy_config = source, dict(policy_config or {})
        self._reward, self._network, self._engine, self._labelers = reward, network, engine, labelers

    @property
    def source(self) -> PolicySource:
        """Where the policies come from."""
        if self._source is None:
            component = builtin("policy", "tiny")
            from preflab.schemas import typed

            values = {"layers": 2, "width": 32, "heads": 2, "tokenizer": "bytes" if self.vocabulary is None else "words"}
            assert component.build is not None
            config = typed(component.config_class, {"name": "tiny", **values, **self._policy_config}, "policy")
            self._source = cast(PolicySource, component.build(config, self))
        return self._source

    def records(self, record_type: RecordType, split: Split) -> Sequence[Any]:
        return [r for r in self._records if isinstance(r, _TYPES[record_type]) and (r.split or "train") == split]

    def has(self, record_type: RecordType) -> bool:
        return any(self.records(record_type, split) for split in SPLITS)

    def rankings(self, split: Split) -> Sequence[Ranking]:
        return self.records("rankings", split)

    @property
    def tokenizer(self) -> Tokenizer:
        return self.source.tokenizer

    def policy(self, role: str) -> Policy:
        kept = self._policies.get(role)
        if kept is not None:
            return kept.copy()
        checkpoint = self.folder / "checkpoints" / role.partition("/")[2]
        if role.startswith("sft/") and checkpoint.is_dir():
            return self.source.load(checkpoint)
        return self.source.create(torch.Generator().manual_seed(derive_seed(self.seed, "policy", "initialisation")))

    def checkpoints(self, role: str) -> Sequence[str]:
        return sorted((p.name for p in (self.folder / "checkpoints").glob("*")), key=lambda name: (len(name), name))

    def responder(self, role: str) -> Responder:
        return SamplingResponder(self.policy(role), self.rollout())

    def reward_model(self) -> RewardModel:
        assert self._reward is not None, "this test gave no reward model"
        return self._reward

    def reward_network(self) -> ScalarModel | None:
        if self._network is None:
            return None
        copy = self._network.copy()
        copy.module.requires_grad_(True)
        return copy

    def load_scalar(self, folder: Path) -> ScalarModel:
        return self.source.load_scalar(folder)

    def rollout(self) -> RolloutEngine:
        if self._engine is None:
            component = builtin("rollout", "native")
            assert component.build is not None
            engine = cast(RolloutEngine, component.build(component.config_class(max_tokens=8), self))
            self._engine = engine if self.runtime.world == 1 else SharedEngine(engine, self.runtime)
        return self._engine

    def labeler(self) -> Labeler:
        assert self._labelers is not None, "this test gave no labelers"
        return self._labelers

    def component(self, kind: str, config: Any) -> Any:
        component = builtin(kind, config.name)
        assert component.build is not None
        return component.build(config, self)

    def rollout_finished(self, step: int, rollout: Rollout, values: Mapping[str, Sequence[float]]) -> None:
        self.seen.append((rollout, values))


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of all gradients, by parameter name."""
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def largest_difference(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> float:
    """The largest absolute difference between tensors of the same names."""
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)
