"""Memory and arithmetic of stages from the sizes in the config alone, for a model and a machine
that no earlier run has seen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from preflab.door.blame import blamed
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
    shape, config = inspect(run.choices["policy"]).shape, stage.choice.config
    if shape is None or not isinstance(config, Loading):
        return None
    tokens = _tokens(run, shape)
    with blamed(stage.choice):
        load = config.load(tokens, run.counts())
    if load.asks and "reward_model" in words(stage.choice):
        load = replace(load, frozen=load.frozen + 1)
    if "reward_model" in getattr(config, "offloaded", tuple)() and _scores_without_a_model(run):
        load = replace(load, frozen=load.frozen - 1)
    load = replace(load, shared=len(shared(run, stage)))
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


def shared(run: Run, stage: Stage) -> set[str]:
    """Which of "reference" and "reward_model" are on the weights of the networks that a stage
    trains, so that they take no memory of their own and cannot leave it: none without adapters.
    Configs say by a method ``shared()`` which would be. A reward model with members is not: one of
    them would be."""
    shape = inspect(run.choices["policy"]).shape
    if shape is None or not shape.adapters:
        return set()
    found = set(getattr(stage.choice.config, "shared", tuple)())
    if run.choices["reward_model"].nested or not has_network(run):
        found.discard("reward_model")
    return found


def has_network(run: Run) -> bool:
    """Whether the reward model of a run, or a part of it, scores with a network."""
    scorers = run.choices["reward_model"].all()
    return any(c.component.procedure is not None or inspect(c).tokenizer for c in scorers)


def _scores_without_a_model(run: Run) -> bool:
    """Whether the reward model of a run is arithmetic. One that reads something, as a judge reads
    its model, counts as a network of the policy's size."""
    scorers = run.choices["reward_model"].all()
    return not has_network(run) and not any(inspect(c).content for c in scorers)


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
