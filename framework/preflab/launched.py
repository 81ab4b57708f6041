"""What ``accelerate launch`` asks for by environment variables."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from preflab.errors import UserError

USE_FSDP = "ACCELERATE_USE_FSDP"
PRECISIONS = {"float32": "no", "bfloat16": "bf16"}
"""What ``--mixed_precision`` calls the values of runtime.precision."""
STRATEGIES = {"full_shard": True, "shard_grad_op": False, "no_shard": None}
"""How FSDP divides weights: whether gathered weights are let go of between the forward and the
backward pass; None: nothing is divided."""
_NUMBERS = {"1": "full_shard", "2": "shard_grad_op", "3": "no_shard"}


@dataclass(frozen=True)
class Launched:
    """What ``--use_fsdp`` asks for, by the keys of runtime. divided: sharding=full."""

    divided: bool
    reshard: bool
    checkpointing: bool


def launched(variables: Mapping[str, str], precision: str) -> Launched | None:
    """What --use_fsdp asks for; None without it. `UserError` with the cure for what is asked and
    this engine does not do. precision: of the config."""
    if variables.get("ACCELERATE_USE_DEEPSPEED") == "true":
        raise UserError(
            "accelerate launch --use_deepspeed: preflab does not run DeepSpeed. Leave it out and "
            "give runtime.sharding=full, which divides weights, gradients and moments as ZeRO-3 "
            "does."
        )
    asked = variables.get("ACCELERATE_MIXED_PRECISION", "no")
    if asked not in ("no", PRECISIONS[precision]):
        own = {short: long for long, short in PRECISIONS.items()}.get(asked)
        cure = f"runtime.precision={own}" if own else "runtime.precision=bfloat16 (bf16)"
        raise UserError(
            f"accelerate launch --mixed_precision {asked}, but runtime.precision is {precision}, "
            f"and precision is part of a result: give {cure}, or launch with --mixed_precision "
            f"{PRECISIONS[precision]}."
        )
    return _fsdp(variables) if variables.get(USE_FSDP) == "true" else None


@contextlib.contextmanager
def without_fsdp() -> Iterator[None]:
    """Within it accelerate does not know of --use_fsdp: weights are divided here, and its own FSDP
    refuses CPUs."""
    given = os.environ.pop(USE_FSDP, None)
    try:
        yield
    finally:
        if given is not None:
            os.environ[USE_FSDP] = given


def _fsdp(variables: Mapping[str, str]) -> Launched:
    for word in ("offload_params", "activation_checkpointing_offload"):
        if variables.get(f"FSDP_{word.upper()}") == "true":
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
        checkpointing=variables.get("FSDP_ACTIVATION_CHECKPOINTING") == "true",
    )
