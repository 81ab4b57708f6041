"""What ``torchrun`` and ``accelerate launch`` say by environment variables."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from preflab.errors import UserError

OF_ONE = {"WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1, "RANK": 0, "LOCAL_RANK": 0}
"""The numbers that launchers give each process. Their values with one process, which are also the
least that they can be."""
MPI = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""By these launchers of MPI say how many processes there are. accelerate reads them too."""
USE_FSDP = "ACCELERATE_USE_FSDP"
ACCUMULATION = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
DEVICE = "ACCELERATE_TORCH_DEVICE"
OTHERS = {
    "ACCELERATE_USE_DEEPSPEED": (
        "--use_deepspeed",
        "preflab does not run DeepSpeed. Leave it out and give runtime.sharding=full, which "
        "divides weights, gradients and moments as ZeRO-3 does.",
    ),
    "ACCELERATE_USE_MEGATRON_LM": (
        "--use_megatron_lm",
        "preflab does not run Megatron-LM. Leave it out and give runtime.sharding=full, which "
        "divides weights, gradients and moments among all processes.",
    ),
    "ACCELERATE_USE_PARALLELISM_CONFIG": (
        "--use_parallelism_config",
        "preflab has no tensor, context or sequence parallelism, and divides weights among all "
        "processes only. Leave out --use_parallelism_config and every --parallelism_config_* word; "
        "--use_fsdp (or runtime.sharding=full) divides weights, gradients and moments.",
    ),
}
"""Ways to divide work that are not here: the variable that asks for one, its words, the cure."""
PRECISIONS = {"float32": "no", "bfloat16": "bf16"}
"""What ``--mixed_precision`` calls the values of runtime.precision."""
STRATEGIES = {"full_shard": True, "shard_grad_op": False, "no_shard": None}
"""How FSDP divides weights: whether gathered weights are let go of between the forward and the
backward pass; None: nothing is divided."""
_NUMBERS = {"1": "full_shard", "2": "shard_grad_op", "3": "no_shard"}
_YES = ("y", "yes", "t", "true", "on", "1")
_NO = ("n", "no", "f", "false", "off", "0", "")
"""What accelerate takes for true and for false, in small letters."""


@dataclass(frozen=True)
class Launched:
    """What ``--use_fsdp`` asks for, by the keys of runtime. divided: sharding=full."""

    divided: bool
    reshard: bool
    checkpointing: bool


def number(name: str, variables: Mapping[str, str] = os.environ) -> int:
    """What a launcher says by one of `OF_ONE`; that of one process where it is not set, or set to
    nothing. `UserError` if it is no number or too small."""
    given, least = variables.get(name, "").strip(), OF_ONE[name]
    if given and (not given.isdecimal() or int(given) < least):
        raise UserError(
            f"The environment variable {name} is '{given}', but must be a whole number of at least "
            f"{least}. torchrun and accelerate launch set it; for a job without them: unset {name}."
        )
    return int(given or least)


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


def launched_processes(variables: Mapping[str, str], asked: int) -> int:
    """Number of processes of the job: those of a launcher, or as many as runtime.processes asks
    for. `UserError` if both say one and they differ."""
    numbers = {name: number(name, variables) for name in OF_ONE}  # all, before any work
    for rank, world in (("RANK", "WORLD_SIZE"), ("LOCAL_RANK", "LOCAL_WORLD_SIZE")):
        # A launcher of several processes may give LOCAL_RANK alone.
        known = world == "WORLD_SIZE" or variables.get(world) or numbers["WORLD_SIZE"] == 1
        if numbers[rank] >= numbers[world] and known:
            raise UserError(
                f"The environment variable {rank} is {numbers[rank]}, but with {world}="
                f"{numbers[world]} processes are numbered from 0 to {numbers[world] - 1}. torchrun "
                f"and accelerate launch set both; for a job without them: unset {rank} {world}."
            )
    there = numbers["WORLD_SIZE"]
    if there == 1:
        _check_not_by_mpi(variables)
    if there > 1 and asked not in (1, there):
        raise UserError(
            f"torchrun (or accelerate launch) started {there} processes, but runtime.processes="
            f"{asked}: leave runtime.processes out, or start {asked} processes."
        )
    return max(there, asked)


def _check_not_by_mpi(variables: Mapping[str, str]) -> None:
    """`UserError` for several processes that MPI started, each of which would be a job of its own,
    or wait in accelerate for the others without end."""
    for name in MPI:
        number = variables.get(name, "").strip()
        if number not in ("", "0", "1"):
            raise UserError(
                f"The environment variable {name} is {number}: mpirun (or srun --mpi) started "
                f"several processes, and they do not know of each other by MPI here. Start them "
                f"with torchrun --nproc_per_node N -m preflab ..., or one alone with "
                f"runtime.processes=N. If each is to be a job of its own: unset {name}."
            )


def on_cpu(variables: Mapping[str, str], device: str) -> bool:
    """Whether ``accelerate launch --cpu`` asks for processors. `UserError` if the config names
    another device."""
    asked = _is_true(variables, "ACCELERATE_USE_CPU")
    if asked and device == "cuda":
        raise UserError(
            "accelerate launch --cpu, but runtime.device=cuda: leave one of the two out (use_cpu "
            "in accelerate's config file says the same as --cpu)."
        )
    return asked


def launched(variables: Mapping[str, str], precision: str) -> Launched | None:
    """What --use_fsdp asks for; None without it. `UserError` with the cure for what is asked and
    this engine does not do. precision: of the config."""
    for name, (words, wrong) in OTHERS.items():
        if _is_true(variables, name):
            raise UserError(f"accelerate launch {words}: {wrong}")
    if device := variables.get(DEVICE, "").strip():
        raise UserError(
            f"{DEVICE} is {device}, but the config alone says where to compute: give runtime.device"
            f"=cpu or cuda, and choose among GPUs with CUDA_VISIBLE_DEVICES. Unset {DEVICE}."
        )
    steps = variables.get(ACCUMULATION, "").strip()
    if steps not in ("", "1"):
        raise UserError(
            f"{ACCUMULATION} is {steps}, but the config alone says how many rows an update is "
            "made of: a pass of training reads runtime.micro_batch of them, and gradients are "
            f"added up until all are read. Leave it out (unset {ACCUMULATION}); for larger updates "
            "give the stage a larger batch."
        )
    if (backend := _said(variables, "ACCELERATE_DYNAMO_BACKEND")) != "no":
        raise UserError(
            f"accelerate launch --dynamo_backend {backend}: preflab's models are not accelerate's "
            "to compile. Leave it out; runtime.compile=true compiles what the fast paths compute."
        )
    _check_precision(_said(variables, "ACCELERATE_MIXED_PRECISION"), precision)
    return _fsdp(variables) if _is_true(variables, USE_FSDP) else None


@contextlib.contextmanager
def kept_from_accelerate() -> Iterator[None]:
    """Within it accelerate does not know of --use_fsdp: weights are divided here, and its own FSDP
    refuses CPUs. Nor of numbers that are set to nothing, which it could not read; nor that a single
    process has any, by which it would wait for a store that nobody serves; nor of MPI."""
    alone = world_size() == 1
    hidden = [name for name in OF_ONE if alone or not os.environ.get(name, "").strip()]
    given = {n: os.environ.pop(n) for n in (USE_FSDP, *MPI, *hidden) if n in os.environ}
    try:
        yield
    finally:
        os.environ.update(given)


def _said(variables: Mapping[str, str], name: str) -> str:
    """In lower case, as accelerate reads it; "no" where it is not set, or set to nothing."""
    return variables.get(name, "").strip().lower() or "no"


def _is_true(variables: Mapping[str, str], name: str) -> bool:
    """Whether a variable is switched on. `UserError` for a word that means neither to accelerate,
    which itself reads some variables by ``true`` alone and others by all of these words."""
    given = variables.get(name, "").strip().lower()
    if given not in (*_YES, *_NO):
        raise UserError(
            f"The environment variable {name} is '{given}', but must be true or false. accelerate "
            f"launch sets it; without it: unset {name}."
        )
    return given in _YES


def _check_precision(asked: str, precision: str) -> None:
    """`UserError` for a ``--mixed_precision`` that is not the run's. What preflab does not have
    (fp16, fp8) has one cure: the words that fit."""
    if asked in ("no", PRECISIONS[precision]):
        return
    own = {short: long for long, short in PRECISIONS.items()}.get(asked)
    fits = f"--mixed_precision {PRECISIONS[precision]}"
    if own is None:
        raise UserError(
            f"accelerate launch --mixed_precision {asked}: preflab does not have it. Launch with "
            f"{fits}, as runtime.precision={precision} says."
        )
    raise UserError(
        f"accelerate launch --mixed_precision {asked}, but runtime.precision is {precision}, and "
        f"precision is part of a result: give runtime.precision={own}, or launch with {fits}."
    )


def _fsdp(variables: Mapping[str, str]) -> Launched:
    for word in ("offload_params", "activation_checkpointing_offload"):
        if _is_true(variables, f"FSDP_{word.upper()}"):
            raise UserError(
                f"accelerate launch --fsdp_{word} true: preflab keeps weights and activations on "
                f"their device. Launch with --fsdp_{word} false."
            )
    # accelerate reads the second word in version 2, and in version 1 the first where it is given.
    first, second = "sharding_strategy", "reshard_after_forward"
    is_first = variables.get("FSDP_VERSION") != "2" and f"FSDP_{first.upper()}" in variables
    word = first if is_first else second
    given = variables.get(f"FSDP_{word.upper()}", "true")
    strategies = {"true": True, "false": False, **STRATEGIES}
    asked = _NUMBERS.get(given, given.lower())
    if asked not in strategies:
        raise UserError(
            f"accelerate launch --fsdp_{word} {given}: preflab divides weights among all processes "
            f"or not at all. Allowed: {', '.join(map(str.upper, STRATEGIES))}."
        )
    reshard = strategies[asked]
    return Launched(
        divided=reshard is not None,
        reshard=reshard is not False,
        checkpointing=_is_true(variables, "FSDP_ACTIVATION_CHECKPOINTING"),
    )
