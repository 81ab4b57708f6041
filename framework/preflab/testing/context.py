"""A context over records in memory, so that a component can be built and tried without a run.

context = FakeContext(tmp_path, records=[Prompt("1", "add one two", split="train")])
algorithm = MyAlgorithm(MyConfig(), context)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from preflab.components import Component
from preflab.engine.data import Records
from preflab.interfaces import (
    Gold,
    HeadsModel,
    Labeler,
    LoadsHeads,
    Policy,
    PolicySource,
    Procedure,
    Responder,
    RewardModel,
    RolloutEngine,
    ScalarModel,
    Tokenizer,
)
from preflab.models import to_be_trained
from preflab.pool import Answered, write_pool
from preflab.randomness import Streams, derive_seed
from preflab.records import (
    RECORD_TYPES,
    Demonstration,
    Document,
    Prompt,
    Ranking,
    Record,
    RecordType,
    Rollout,
    Split,
    with_split,
)
from preflab.responders import PolicyResponder
from preflab.sampling import Agreement, to_be_sampled
from preflab.testing.world import WORDS

if TYPE_CHECKING:
    from preflab.runtime import Runtime

TYPES: dict[str, type[Any]] = {
    "prompts": Prompt,
    "demonstrations": Demonstration,
    "rankings": Ranking,
    "documents": Document,
}
"""The class of each record type."""


def component(kind: str, name: str) -> Component:
    """An installed component; `preflab.UserError` with the nearest name if there is none."""
    from preflab.composing.search_path import registry

    return registry().component(kind, name)


def cpu_runtime(micro_batch: int = 64) -> Runtime:
    """One CPU process with one thread."""
    from preflab.runtime import Device, Runtime, RuntimeConfig

    return Runtime(RuntimeConfig(device=Device.cpu, threads=1, micro_batch=micro_batch))


class MemorySource:
    """`preflab.interfaces.DataSource` over given records; one without a split is for training."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = [r if r.split else with_split(r, "train") for r in records]

    def records(self, record_type: RecordType) -> Sequence[Record]:
        """The records of a type."""
        return [r for r in self._records if isinstance(r, TYPES[record_type])]


class FakeContext:
    """The `preflab.interfaces.Context` protocol over records in memory.

    records: of any type, each with its split ("" counts as "train"). source:
    where policies come from (default: a "tiny" policy of 2 layers, width 32, over ``vocabulary``,
    or over bytes without one). policies: by role; a role that is missing gives the source's fresh
    policy, drawn from the seed ``initialisation`` (default: ``seed``), the same weights every
    time. Every policy is a copy. pool: what the samples stage made.
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
        initialisation: int | None = None,
        pool: Sequence[Answered] = (),
    ) -> None:
        self.folder, self.stage, self.seed = folder, stage, seed
        self.runtime = cpu_runtime(micro_batch)
        self.streams = Streams(seed, stage)
        self.vocabulary, self.gold = vocabulary, gold
        self.seen: list[tuple[Rollout, Mapping[str, Sequence[float]]]] = []
        self.asked: set[str] = set()
        """What was used of what a component must declare: record types (but those that `has` was
        asked about), "reward_model", "samples"."""
        self.policies = dict(policies or {})
        memory = MemorySource(records)
        self._records = Records({t: memory for t in RECORD_TYPES if memory.records(t)}, {})
        self._known = {t for t in RECORD_TYPES if memory.records(t)}
        self._optional: set[str] = set()
        self._initialisation = seed if initialisation is None else initialisation
        self._source, self._policy_config = source, dict(policy_config or {})
        self._reward, self._network = reward, network
        self._engine, self._labelers, self._pool = engine, labelers, pool

    @property
    def source(self) -> PolicySource:
        """Where the policies come from."""
        if self._source is None:
            from preflab.options import typed

            tiny = component("policy", "tiny")
            values = {
                "layers": 2,
                "width": 32,
                "heads": 2,
                "tokenizer": "bytes" if self.vocabulary is None else "words",
            }
            assert tiny.build is not None
            config = typed(
                tiny.config_class, {"name": "tiny", **values, **self._policy_config}, "policy"
            )
            self._source = cast(PolicySource, tiny.build(config, self))
        return self._source

    def records(self, record_type: RecordType, split: Split) -> Sequence[Any]:
        if record_type not in self._optional:
            self.asked.add(record_type)
        return self._records.split(record_type, split)

    def has(self, record_type: RecordType) -> bool:
        self._optional.add(record_type)
        return record_type in self._known

    def rankings(self, split: Split) -> Sequence[Ranking]:
        return self.records("rankings", split)

    def artifact(self, stage: str) -> Path | None:
        if stage != "samples":
            return None
        self.asked.add(stage)
        if not self._pool:
            return None
        folder = self.folder.with_name(f"{self.folder.name}-samples")
        folder.mkdir(parents=True, exist_ok=True)
        write_pool(folder, self._pool)
        return folder

    @property
    def tokenizer(self) -> Tokenizer:
        return self.source.tokenizer

    @property
    def max_positions(self) -> int | None:
        return self.source.max_positions

    def in_front(self, role: str = "") -> Sequence[str]:
        return ("",)

    def members(self) -> Sequence[str]:
        return ()

    def policy(self, role: str) -> Policy:
        import torch

        policy = self.policies.get(role)
        if policy is not None:
            copy = policy.copy()
            return to_be_trained(copy, self._adapters) or copy
        checkpoint = self.folder / "checkpoints" / role.partition("/")[2]
        if role.startswith("sft/") and checkpoint.is_dir():
            return self.source.load(checkpoint)
        return self.source.create(
            torch.Generator().manual_seed(
                derive_seed(self._initialisation, "policy", "initialisation")
            )
        )

    def sampled_policy(self, of: str | Path) -> Policy:
        def load() -> Policy:
            return self.load_policy(of) if isinstance(of, Path) else self.policy(of)

        return to_be_sampled(load, self.rollout(), self.runtime)

    def _adapters(self) -> Any:
        import torch

        return torch.Generator().manual_seed(derive_seed(self.seed, self.stage, "adapters"))

    def checkpoints(self, role: str) -> Sequence[str]:
        return sorted(
            (p.name for p in (self.folder / "checkpoints").glob("*")),
            key=lambda name: (len(name), name),
        )

    def responder(self, role: str) -> Responder:
        return PolicyResponder(self.sampled_policy(role), self.rollout())

    def reward_model(self) -> RewardModel:
        self.asked.add("reward_model")
        assert self._reward is not None, "this context was given no reward model"
        return self._reward

    def reward_network(self) -> ScalarModel | None:
        self.asked.add("reward_model")
        if self._network is None:
            return None
        if adapted := to_be_trained(self._network, self._adapters):
            return adapted
        copy = self._network.copy()
        copy.module.requires_grad_(True)
        return copy

    def load_policy(self, folder: Path) -> Policy:
        return self.source.load(folder)

    def load_scalar(self, folder: Path) -> ScalarModel:
        return self.source.load_scalar(folder)

    def load_heads(self, folder: Path) -> HeadsModel:
        assert isinstance(self.source, LoadsHeads), "this policy source reads no heads"
        return self.source.load_heads(folder)

    def rollout(self) -> RolloutEngine:
        if self._engine is None:
            from preflab.engine.comparing import prepared

            native = component("rollout", "native")
            assert native.build is not None
            engine = cast(RolloutEngine, native.build(native.config_class(max_tokens=8), self))
            self._engine = prepared(engine, self.runtime, Agreement())
        return self._engine

    def labeler(self) -> Labeler:
        assert self._labelers is not None, "this context was given no labelers"
        return self._labelers

    def component(self, kind: str, config: Any) -> Any:
        chosen = component(kind, config.name)
        assert chosen.build is not None
        return chosen.build(config, self)

    def procedure(self, kind: str, config: Any) -> Procedure | None:
        chosen = component(kind, config.name)
        return None if chosen.procedure is None else chosen.procedure(config, self)

    def key_of(self, config: Any) -> str:
        return self.stage

    def within(self, name: str, seed: int | None = None) -> FakeContext:
        part = copy(self)
        part.folder = self.folder / name
        part.seed = derive_seed(self.seed, name) if seed is None else seed
        part.streams = self.streams.within(name)
        return part

    def rollout_finished(
        self, step: int, rollout: Rollout, values: Mapping[str, Sequence[float]]
    ) -> None:
        self.seen.append((rollout, values))
