"""A reward model, and PPO-ptx with it, in processes that divide their weights or do not."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Imported once, before processes are forked.
import torch
import torch.distributed.fsdp
import torch.distributed.tensor
from transformers.models.gpt2 import modeling_gpt2  # noqa: F401
from transformers.models.llama import modeling_llama  # noqa: F401

from preflab.engine.alike import together
from preflab.engine.comparing import prepared
from preflab.engine.loop import CheckpointConfig, Loop
from preflab.engine.parts import Parts
from preflab.interfaces import Procedure, RolloutEngine
from preflab.launched import is_main
from preflab.optimization import OptimizerConfig
from preflab.records import (
    Document,
    Prompt,
    Ranking,
    Record,
    Rollout,
    preferences_from_ranks,
)
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding
from preflab.sampling import Agreement
from preflab.sharding import local
from preflab.storage import checkpoints
from preflab_builtin.entropy.config import EntropyConfig
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.ppo.config import PPOConfig
from preflab_builtin.ppo.training import ppo
from preflab_builtin.ptx.config import PtxConfig
from preflab_builtin.reward_model.config import KwiseConfig
from preflab_builtin.reward_model.scoring import NetworkReward
from preflab_builtin.reward_model.training import KwiseTraining
from preflab_builtin.rollouts.config import TransformersConfig
from preflab_builtin.rollouts.generate import TransformersEngine
from support import WORDS, FakeContext

STAGES = ("reward_model", "ppo")
RECORDS: list[Record] = [
    *(Document(str(i), " ".join(WORDS[(i + j * j) % 20] for j in range(9))) for i in range(12)),
    *(Prompt(f"p{i}", " ".join(WORDS[: 1 + i % 5])) for i in range(10)),
]
RANKINGS = [
    Ranking(p, ("red", "red blue please thanks", "bad bad"), preferences_from_ranks([1, 2, 3]))
    for p in RECORDS
    if isinstance(p, Prompt)
]


@dataclass(frozen=True)
class Case:
    """How to compute. The rows of no optimizer step, and no number of passes, can be divided by 2.
    then: a folder of which the oldest checkpoints are gone on from."""

    sharding: Sharding = Sharding.none
    family: str = "llama"
    fast: bool = True
    compile: bool = False
    checkpointing: bool = False
    reshard: bool = True
    offload: bool = False
    engine: str = "native"
    rank: int = 0
    """Of adapters; 0: all weights are trained."""
    then: Path | None = None
    parts: bool = False
    """Whether each process writes its part of the checkpoints."""
    dies: bool = False
    """Whether process 1 is killed while it writes its part of PPO's second checkpoint."""

    def __call__(self, folder: Path) -> None:
        """Train in a folder; ready for `processes.trained`. held-RANK: bytes of tensors that a
        process has after it."""
        before = held_bytes()
        if self.dies:
            setattr(checkpoints, "write_parts", _killed_while_writing)  # noqa: B010
        optimizer = OptimizerConfig(lr=1e-3, eps=1e-5)
        # Three rankings a step: one process has one of them, the other two.
        kwise = KwiseConfig(epochs=1, batch=3, optimizer=optimizer)
        self.run("reward_model", KwiseTraining(kwise, self.context(folder, 3)), folder)
        context = self.context(folder, 2)
        if self.rank:
            if is_main():
                context.policy("initial").save(folder / "initial")
            context.runtime.gather([0])
            context.policies = FromFolder(context, folder / "initial")
        with context.runtime.dividing():
            network = context.load_scalar(folder / "reward_model" / "model")
            context._network = network.copy()
        context._reward = NetworkReward(network, context.runtime)
        terms: dict[str, Any] = {
            "ptx": PtxConfig(coef=2.0, ratio=1.0, window=8),
            "entropy": EntropyConfig(coef=0.01),
        }
        config = PPOConfig(
            episodes=30,
            batch=10,
            minibatch=5,
            epochs=2,
            kl=KLPenaltyConfig(coef=0.1),
            policy=optimizer,
            value=optimizer,
            ema=0.9,
            terms=terms,
        )
        procedure = ppo(config, context)
        context._network = None  # it was copied
        self.run("ppo", procedure, folder)
        if self.offload:  # they are back: to read weights that are away kills the process
            rows = Rollout.from_texts(context.tokenizer, [Prompt("p", "red")], ["blue"])
            assert len(context.reward_model().score(rows)) == 1
        held = held_bytes() - before
        (folder / f"held-{context.runtime.rank}").write_text(str(held))
        # The second process has no prompt.
        policy = context.policy("base")
        context.runtime.shard(policy.module)
        for engine in (context.rollout(), transformers(context.runtime)):
            alone = engine.generate(policy, [Prompt("p", "red")], engine.sampling, (1, "alone"))
            assert len(alone) == 1

    def context(self, folder: Path, micro_batch: int) -> FakeContext:
        """With a runtime as the case has it."""
        shape: dict[str, Any] = {"family": self.family, "lora": {"rank": self.rank or None}}
        context = FakeContext(folder, [*RECORDS, *RANKINGS], policy_config=shape)
        context.runtime = Runtime(
            RuntimeConfig(
                device=Device.cpu,
                threads=1,
                micro_batch=micro_batch,
                fast_paths=self.fast,
                compile=self.compile,
                checkpointing=self.checkpointing,
                sharding=self.sharding,
                reshard=self.reshard,
                offload=self.offload,
            )
        )
        if self.engine == "transformers":
            context._engine = transformers(context.runtime)
        return context

    def run(self, stage: str, procedure: Procedure, folder: Path) -> None:
        """All steps of a stage, with a checkpoint after each, below ``folder``."""
        own = folder / stage
        if is_main():
            own.mkdir(exist_ok=True)
        context: Any = procedure.context  # type: ignore[attr-defined]
        context.runtime.gather([0])
        if self.then is not None and is_main():
            first = min((self.then / stage / ".state").glob("step-*"))
            shutil.copytree(first, own / ".state" / first.name)
            (own / "metrics.jsonl").write_bytes((self.then / stage / "metrics.jsonl").read_bytes())
        context.runtime.gather([0])
        Loop(
            stage,
            procedure,
            context.streams,
            own,
            CheckpointConfig(every_steps=1, sharded=self.parts),
            lambda hook, **shown: None,
            context.runtime.agreed,
            is_main(),
            parts=Parts(context.runtime) if context.runtime.is_sharded else None,
            together=lambda check: together(context.runtime, check),
        ).run()
        context.runtime.gather([0])


def transformers(runtime: Runtime) -> RolloutEngine:
    """The engine ``transformers``, as a stage has it."""
    engine = TransformersEngine(TransformersConfig(max_tokens=8), runtime)
    return prepared(engine, runtime, Agreement())


class FromFolder(dict[str, Any]):
    """The policies of a context, each read from one folder as a stage reads it."""

    def __init__(self, context: FakeContext, folder: Path) -> None:
        super().__init__()
        self.context, self.folder = context, folder

    def get(self, role: str, default: Any = None) -> Any:
        """A new one at each call."""
        return self.context.load_policy(self.folder)


def held_bytes() -> int:
    """Bytes of all tensors that this process has; of divided ones, its own part."""
    gc.collect()
    tensors = [t for t in gc.get_objects() if issubclass(type(t), torch.Tensor)]
    tensors = [t for t in tensors if type(t).__name__ != "FakeTensor"]  # of torch.compile
    storages = [local(t).untyped_storage() for t in tensors if not t.is_meta]
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


_write_parts = checkpoints.write_parts


def _killed_while_writing(folder: Path, number: int, state: dict[str, Any]) -> dict[str, str]:
    if number == 1 and folder.name.startswith("tmp-000000002") and "ppo" in folder.parts:
        (folder / "part-00001.safetensors").write_bytes(b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)
    return _write_parts(folder, number, state)


def rows(folder: Path, stage: str) -> list[dict[str, float]]:
    """What the steps of a stage reported, but for the clock."""
    lines = (folder / stage / "metrics.jsonl").read_text().splitlines()
    return [
        {k: v for k, v in json.loads(line).items() if not k.startswith("time/")} for line in lines
    ]
