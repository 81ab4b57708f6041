"""Devices and processes, on accelerate. Procedures use these few methods and therefore
run on one CPU or many GPUs alike."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

from preflab.errors import UserError
from preflab.heap import keep_memory
from preflab.launched import kept_from_accelerate, launched, launched_processes, number
from preflab.options import option
from preflab.sharding import Division, dividing, is_divided, is_sharded, shard

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

T = TypeVar("T")


NO_GPU = "runtime.device=cuda, but torch sees no GPU. Allowed here: auto, cpu."


def too_many_processes(processes: int, gpus: int) -> str:
    """What is wrong with more processes on this machine than it has GPUs, and the cure."""
    return (
        f"A job of {processes} processes on this machine, but torch sees {gpus} GPU(s), and each "
        f"process takes one. Give runtime.processes={gpus} (torchrun: --nproc_per_node {gpus}), or "
        "runtime.device=cpu."
    )


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    """Number format of the forward pass (weights stay float32, log-probs are always computed in
    float32)."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    auto = "auto"


class Sharding(StrEnum):
    """Whether the processes of a job divide the weights among them."""

    none = "none"
    full = "full"


@dataclass
class RuntimeConfig:
    """How to compute; nothing here but precision and determinism is meant to change a result."""

    device: Device = option(
        Device.auto, "cpu, cuda, or auto: a GPU if there is one", affects_result=False
    )
    precision: Precision = option(
        Precision.float32,
        "float32, bfloat16 (forward pass under autocast), or auto: bfloat16 where the hardware has "
        "it and it pays, said before the run, and the recipe names what was chosen",
    )
    deterministic: bool = option(False, "ask torch for deterministic kernels (slower on GPUs)")
    threads: int | None = option(
        None,
        "CPU threads of torch in each process; null: torch decides",
        ge=1,
        affects_result=False,
    )
    processes: int = option(
        1,
        "processes of a job in all: on one machine it starts them itself, on several torchrun does",
        ge=1,
        affects_result=False,
    )
    gpus_per_job: int | None = option(
        None,
        "GPUs of this machine that each job of a multirun takes for itself; null: all jobs see all",
        ge=1,
        affects_result=False,
    )
    micro_batch: int = option(
        64,
        "rows in one forward pass of training (a ranking is never divided); memory, not results",
        ge=1,
        affects_result=False,
    )
    fast_paths: bool = option(
        True,
        "forward passes of our own where there are some; false: the model library's (equal up to "
        "rounding)",
        affects_result=False,
    )
    checkpointing: bool = option(
        False,
        "keep only the input of each block for the backward pass and compute the rest again: less "
        "memory, a third more arithmetic, the same numbers",
        affects_result=False,
    )
    offload: bool = option(
        False,
        "the frozen networks of an on-policy algorithm (reference, reward model) leave memory "
        "while it updates: on a CPU for a temporary file, on a GPU for the host; the same numbers",
        affects_result=False,
    )
    decode_graphs: bool = option(
        False,
        "sampling on a GPU: record the step of one token once and repeat it",
        affects_result=False,
    )
    sharding: Sharding = option(
        Sharding.none,
        "full: each process holds its part of weights, gradients and moments; none: all of them",
        affects_result=False,
    )
    reshard: bool = option(
        True,
        "sharding=full: let go of gathered weights between the forward and the backward pass "
        "(false: more memory, less communication)",
        affects_result=False,
    )


def world_size() -> int:
    """Number of processes of this job, from the environment; known without torch."""
    return number("WORLD_SIZE")


def is_main() -> bool:
    """Whether this is process 0 of its job: the one that writes and prints."""
    return number("RANK") == 0


def local_rank() -> int:
    """This process's number among those of its job on this machine, 0 first."""
    return number("LOCAL_RANK")


def local_world_size() -> int:
    """Number of processes of this job on this machine."""
    return number("LOCAL_WORLD_SIZE")


def threads(config: RuntimeConfig) -> int | None:
    """CPU threads of torch in a process; None where torch decides and has not been asked to
    compute."""
    torch = sys.modules.get("torch")
    return config.threads if config.threads or torch is None else int(torch.get_num_threads())


def device_name(config: RuntimeConfig) -> str | None:
    """Where a process computes, cpu or cuda; None where torch decides and has not been asked to
    compute."""
    torch = sys.modules.get("torch")
    if config.device is not Device.auto or torch is None:
        return None if config.device is Device.auto else config.device.value
    return "cuda" if torch.cuda.is_available() else "cpu"


def as_launched(config: RuntimeConfig, variables: Mapping[str, str]) -> RuntimeConfig:
    """The config with what a launcher says by environment variables: ``torchrun`` how many
    processes there are, ``accelerate launch`` too, and by --use_fsdp that sharding is full.
    `UserError` with the cure for what it asks and this engine does not do."""
    there = launched_processes(variables, config.processes)
    config = config if there == config.processes else replace(config, processes=there)
    asked = launched(variables, config.precision.value)
    if asked is None:
        return config
    if not asked.divided and config.sharding is Sharding.full:
        raise UserError(
            "accelerate launch asks by NO_SHARD that every process has all weights, but "
            "runtime.sharding=full divides them: launch with --fsdp_sharding_strategy FULL_SHARD, "
            "or give runtime.sharding=none."
        )
    return replace(
        config,
        sharding=Sharding.full if asked.divided else config.sharding,
        reshard=config.reshard and asked.reshard,
        checkpointing=config.checkpointing or asked.checkpointing,
    )


class StandIn(list[T]):
    """Rows that a process reads only because others still have some: with divided weights every
    process takes part in every pass. They count for nothing (`weight`)."""


def weight(rows: Sequence[Any]) -> float:
    """What the rows of a pass count: 1, and 0 for a `StandIn`."""
    return 0.0 if isinstance(rows, StandIn) else 1.0


class Runtime:
    """The processes and device of one job. Gradients are summed over processes, never averaged:
    losses are sums divided by one global denominator, so the result does not depend on how rows
    are split. looks: nothing is computed, and a GPU that is named may be on another machine."""

    def __init__(self, config: RuntimeConfig, looks: bool = False) -> None:
        self.config, self._looks = as_launched(config, os.environ), looks
        # Several processes meet at once. One alone computes nothing yet, and in `plan` never.
        if world_size() > 1 or "torch" in sys.modules:
            self.start()

    def start(self) -> None:
        """Set up torch and the processes, before anything is computed."""
        _ = self.accelerator

    @cached_property
    def accelerator(self) -> Accelerator:
        """What joins the processes."""
        import torch
        from accelerate import Accelerator

        config = self.config
        if config.threads:
            torch.set_num_threads(config.threads)
        if config.deterministic:
            # Without it torch refuses matrix products on GPUs.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(config.deterministic)
        keep_memory(not (world_size() > 1 and config.sharding is Sharding.full))
        cpu = config.device is Device.cpu or not torch.cuda.is_available()
        if config.device is Device.cuda and cpu and not self._looks:
            raise UserError(NO_GPU)
        here, gpus = local_world_size(), torch.cuda.device_count()
        # With one visible GPU a launcher may have given each process its own.
        if not cpu and 1 < gpus < here:
            raise UserError(too_many_processes(here, gpus))
        with kept_from_accelerate():
            accelerator = Accelerator(cpu=cpu)
        if world_size() != accelerator.num_processes:
            raise UserError(
                f"WORLD_SIZE is {world_size()}, but accelerate started "
                f"{accelerator.num_processes} process(es): each would train alone and "
                "overwrite the others. Start with runtime.processes=N, or 'torchrun -m preflab "
                "...'."
            )
        return accelerator

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        device: torch.device = self.accelerator.device
        return device

    @property
    def rank(self) -> int:
        """This process's number, 0 first."""
        return int(self.accelerator.process_index)

    @property
    def world(self) -> int:
        """Number of processes, which is accelerate's too where it has begun."""
        begun = self.__dict__.get("accelerator")
        return world_size() if begun is None else int(begun.num_processes)

    @property
    def micro_batch(self) -> int:
        """Rows in one forward pass."""
        return self.config.micro_batch

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The forward pass in the configured precision."""
        import torch

        if self.config.precision is not Precision.bfloat16:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's contiguous share of a global list (all of it with one process)."""
        n = len(items)
        return items[n * self.rank // self.world : n * (self.rank + 1) // self.world]

    def micro_batches(self, items: Sequence[T], size: int | None = None) -> Iterator[Sequence[T]]:
        """Consecutive pieces of at most ``size`` items (default: the configured micro-batch)."""
        step = size or self.micro_batch
        for start in range(0, len(items), step):
            yield items[start : start + step]

    def passes(self, items: Sequence[T], size: int | None = None) -> Iterator[Sequence[T]]:
        """This process's share of a global list in micro-batches of at most ``size`` items, as many
        as every other process has where weights are divided."""
        mine = list(self.micro_batches(self.share(items), size))
        largest = -(-len(items) // self.world)
        return iter(self.filled(mine, items[:1], -(-largest // (size or self.micro_batch))))

    def filled(
        self, passes: Sequence[Sequence[T]], row: Sequence[T], count: int
    ) -> list[Sequence[T]]:
        """Passes of this process, and where weights are divided enough of one ``row`` that counts
        for nothing that there are ``count``."""
        missing = count - len(passes) if self.is_sharded else 0
        return [*passes, *(StandIn(row) for _ in range(missing))]

    def read(self, items: Sequence[T], size: int | None = None) -> Iterator[Sequence[T]]:
        """This process's part of what is only read, not trained on, in micro-batches. They are
        those of one process, so that the last bits are too, wherever there is one for each process;
        else the items are divided."""
        pieces = list(self.micro_batches(items, size))
        if len(pieces) < self.world:
            return self.passes(items, size)
        most = -(-len(pieces) // self.world)
        return iter(self.filled(list(self.share(pieces)), items[:1], most))

    @property
    def is_sharded(self) -> bool:
        """Whether the processes divide weights among them."""
        return self.world > 1 and self.config.sharding is Sharding.full

    def shard(self, module: torch.nn.Module) -> None:
        """Divide the weights of a module among the processes, if the run asks for it. Every process
        calls it, once its parameters need a gradient or not and before an optimizer has them."""
        if self.is_sharded and not is_sharded(module):
            shard(module, self.division)

    @property
    def division(self) -> Division:
        """How weights are divided where they are."""
        return Division(self.world, self.config.reshard, self.device.type)

    def dividing(self) -> contextlib.AbstractContextManager[None]:
        """Within it, if the run divides weights, models are divided as they are read and copied:
        for procedures, which every process runs."""
        return dividing(self.division if self.is_sharded else None)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor summed over all processes."""
        if self.world == 1:
            return tensor
        reduced: torch.Tensor = self.accelerator.reduce(tensor, reduction="sum")
        return reduced

    def agreed(self, value: T) -> T:
        """What process 0 holds, on every process: decisions that depend on the disk or the clock
        are taken once."""
        if self.world == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return cast(T, broadcast_object_list([value])[0])

    def gather(self, items: Sequence[T]) -> list[T]:
        """The shares of all processes, in rank order, on every process."""
        if self.world == 1:
            return list(items)
        from accelerate.utils import gather_object

        return list(gather_object(list(items)))

    def close(self) -> None:
        """Wait for the other processes, then leave them: a process that just ends aborts those
        still talking to it."""
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Sum ``.grad`` over processes; a process without a gradient contributes zeros. Those of
        divided weights are summed already."""
        import torch

        if self.world == 1:
            return
        for parameter in parameters:
            if parameter.requires_grad and not is_divided(parameter):
                grad = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
                parameter.grad = self.sum(grad)
