"""Memory and arithmetic of stages from the sizes in the config alone, for a model and a machine
that no earlier run has seen."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from preflab.door.blame import blamed
from preflab.door.choice import Choice
from preflab.memory import (
    Load,
    Memory,
    ModelShape,
    Placement,
    checkpoint_size,
    memory,
    operations,
)
from preflab.planning.asking import inspect, words
from preflab.planning.run import Run, Stage
from preflab.precision import on_gpu
from preflab.runtime import RuntimeConfig, Sharding, as_launched
from preflab.settings import CheckpointConfig
from preflab.storage import checkpoints

TOKENS = 64
"""Tokens of a row where no rollout says how long responses are."""
DISK = 2e8
"""Bytes per second that a process gathers, writes and syncs of a checkpoint: a common disk's."""

ENGINE = "the engine's own memory"
"""What a rollout without ``batch`` takes, in this process or in one that serves: its copy of the
policy, and its keys and values."""


@runtime_checkable
class Loading(Protocol):
    """A config that knows what its stage does with models."""

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """tokens: of a row, prompt and response; records: number of records of each type."""


@dataclass(frozen=True)
class Sized:
    """What a stage takes. memory: of each process; flops: of the whole stage, 0 if only the data
    knows how long it is; tokens: that were assumed of a row; checkpoint: bytes of one on the disk;
    steps: of the stage, 0 if only the data knows; saves: when checkpoints are written; writers:
    processes that write one together; uncounted: what is in none of these, in words."""

    memory: Memory
    flops: float
    tokens: int
    checkpoint: float
    steps: int
    saves: CheckpointConfig
    writers: int = 1
    uncounted: tuple[str, ...] = ()

    @property
    def saving(self) -> float:
        """Seconds in which one checkpoint is written."""
        return self.checkpoint / self.writers / DISK

    def checkpoints(self, speed: float) -> int:
        """How many are written before the last step, at so many operations per second."""
        by_time = int(self.flops / speed / max(self.saves.wait(self.saving), 1e-9))
        by_steps = (self.steps - 1) // self.saves.every_steps if self.saves.every_steps else 0
        return min(max(by_time, by_steps), max(0, self.steps - 1))

    def words(self) -> str:
        """A phrase: the peak and its parts."""
        parts = self.memory
        shares = {
            "the program itself": parts.process,
            "weights in training": parts.trained,
            "gradients and moments": parts.gradients + parts.moments,
            "frozen weights": parts.frozen,
            "gathered weights and gradients": parts.block,
            "activations": parts.activations,
            "keys and values": parts.cache,
            "copies to sample with": parts.sampler,
            "a checkpoint while it is written": parts.checkpoint,
        }
        named = ", ".join(f"{what} {size(held)}" for what, held in shares.items() if held >= 2**19)
        without = f"; not counted: {', '.join(self.uncounted)}" if self.uncounted else ""
        return f"{size(parts.total)} in each process ({named}{without})"


def size(held: float) -> str:
    """Bytes in a unit that fits.

    >>> size(3 * 2**20), size(7e10)
    ('3 MB', '65.2 GB')
    """
    megabytes = held / 2**20
    return f"{megabytes:.0f} MB" if megabytes < 10_000 else f"{megabytes / 1024:.1f} GB"


def sized(run: Run, stage: Stage) -> Sized | None:
    """What a stage takes by the config alone; None where the policy states no sizes, or the
    component does not say what it does with models."""
    shape, config = shape_in(run, stage), stage.choice.config
    if shape is None or not isinstance(config, Loading):
        return None
    tokens = _tokens(run, shape)
    with blamed(stage.choice):
        load = config.load(tokens, run.counts())
    if load.asks and "reward_model" in words(stage.choice):
        asked = _scorers(run)
        load = replace(load, frozen=load.frozen + asked, passes=load.passes + asked)
    on_trained = shared(run, stage)
    frozen = on_trained.get("reference", 0) + on_trained.get("reward_model", 0)
    held = replace(load.held, shared=frozen, borrowed=on_trained.get("value", 0))
    load = replace(load, held=held)
    flops = operations(shape, load) * load.steps
    saves, share = run.settings.checkpoint, shape.trained_share
    rollout = run.choices.get("rollout")
    elsewhere = rollout is not None and not hasattr(rollout.config, "batch")
    engine = (ENGINE,) if load.sampled and elsewhere else ()
    divided = replace(
        placement(run.settings.runtime),
        trained_share=share,
        piece=checkpoints.PIECE,
        gathers=not saves.sharded,
        decoded=getattr(rollout.config, "batch", 0) if rollout else 0,
    )
    stored = checkpoint_size(shape, load, share)
    writers = divided.processes if divided.sharded and saves.sharded else 1
    needed = memory(shape, load, divided)
    uncounted = (*load.uncounted, *engine)
    return Sized(needed, flops, load.tokens, stored, load.steps, saves, writers, uncounted)


def shape_in(run: Run, stage: Stage) -> ModelShape | None:
    """The sizes of the policy in a stage. Of one that brings no weights the first stage that makes
    a policy, and those before it, train all: there is nothing yet that adapters could be beside."""
    policy = inspect(run.choices["policy"])
    if policy.shape is None or policy.pretrained or not policy.shape.adapters:
        return policy.shape
    names = [spec.name for spec in run.graph]
    first = next((names.index(each.name) for each in run.stages if each.makes), len(names))
    if names.index(stage.name) > first:
        return policy.shape
    return replace(policy.shape, adapters=0, adapted=None, bits=32)


def shared(run: Run, stage: Stage) -> Mapping[str, int]:
    """How many networks of a stage have no weights of their own, since they are on those of the
    networks that it trains: of "reference" and "reward_model", which then cannot leave memory, and
    of "value", which is on those of the policy where no network of a reward model begins it. None
    without adapters. Configs say by a method ``shared()`` which of the first two would be."""
    shape = shape_in(run, stage)
    if shape is None or not shape.adapters:
        return {}
    said = set(getattr(stage.choice.config, "shared", tuple)())
    found = {"reference": 1} if "reference" in said else {}
    if "reward_model" in said:
        networks = _networks(run.choices["reward_model"])
        if not networks:
            found["value"] = 1
        elif networks[0]:
            found["reward_model"] = 1
    return found


def reward_networks(run: Run) -> int:
    """With how many networks the reward model of a run scores."""
    return len(_networks(run.choices["reward_model"]))


def _networks(scorer: Choice) -> list[bool]:
    """For each network that a reward model scores with, in order: whether a value network that
    begins as it is on its weights, where adapters are trained."""
    return [not copied for leaf, copied in _leaves(scorer) if _is_network(leaf)]


def _leaves(scorer: Choice, copied: bool = False) -> Iterator[tuple[Choice, bool]]:
    """The reward models that one is made of, itself if of none, and whether value networks begin as
    a copy of each. Configs say so by a method ``begins_copies()``."""
    copied = copied or bool(getattr(scorer.config, "begins_copies", bool)())
    parts = [choice for choice in scorer.nested if choice.component.kind == "reward_model"]
    if not parts:
        yield scorer, copied
    for part in parts:
        yield from _leaves(part, copied)


def _is_network(scorer: Choice) -> bool:
    return scorer.component.procedure is not None or bool(inspect(scorer).tokenizer)


def _scorers(run: Run) -> int:
    """Models that the reward model of a run has in memory. One that reads something, as a judge
    reads its model, counts as one of the policy's size; arithmetic as none."""
    leaves = [leaf for leaf, _ in _leaves(run.choices["reward_model"])]
    return sum(_is_network(leaf) or bool(inspect(leaf).content) for leaf in leaves)


def _tokens(run: Run, shape: ModelShape) -> int:
    """A prompt and a response, each as long as a response may be."""
    rollout = run.choices.get("rollout")
    longest = getattr(rollout.config, "max_tokens", 0) if rollout else 0
    tokens = 2 * longest or TOKENS
    return min(tokens, shape.positions or tokens)


def placement(runtime: RuntimeConfig) -> Placement:
    """What the runtime divides memory by, as the config or a launcher says."""
    runtime = as_launched(runtime, os.environ)
    return Placement(
        micro_batch=runtime.micro_batch,
        processes=runtime.processes,
        sharded=runtime.sharding is Sharding.full,
        reshard=runtime.reshard,
        checkpointing=runtime.checkpointing,
        cpu=not on_gpu(runtime),
        offload=runtime.offload,
    )
