"""Which number format `runtime.precision=auto` stands for: decided once, when a run is composed, so
that the recipe names the format itself and results of two formats are never mixed."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from pathlib import Path

from preflab.errors import UserError
from preflab.runtime import Device, Precision, RuntimeConfig
from preflab.visible import least_capability

CPUINFO = Path("/proc/cpuinfo")
FLAGS = ("amx_bf16", "avx512_bf16")
"""Instructions that multiply bfloat16 numbers, the faster ones first."""
NARROWEST = 384
"""Width of a model from which it pays on a CPU with such instructions: a training step was 1.0
times as fast at a width of 128 and 1.7 times at 512 (two AMD cores; between them nothing was
measured)."""
CAPABILITY = 8.0
"""Compute capability from which NVIDIA's GPUs multiply bfloat16 numbers (Ampere)."""


def decided(config: RuntimeConfig, width: int) -> tuple[Precision, str]:
    """The format, and a sentence on what was chosen and why; "" where a format was named.
    `UserError` where a GPU is asked for that this machine does not see: another machine would
    choose otherwise, and the recipe would not be the same.

    width: of the policy, 0 if it is not known.
    """
    if config.precision is not Precision.auto:
        return config.precision, ""
    capability = 0.0 if config.device is Device.cpu else gpu_capability()
    if config.device is Device.cuda and not capability:
        raise UserError(
            "runtime.precision=auto asks the GPU which number format it has, and this machine does "
            "not see the one that runtime.device=cuda asks for. Name the format: "
            f"runtime.precision=bfloat16 (GPUs of compute capability {CAPABILITY:g} and more), or "
            "runtime.precision=float32."
        )
    if capability:
        chosen = Precision.bfloat16 if capability >= CAPABILITY else Precision.float32
        reason = f"the GPU has compute capability {capability:g}, and {CAPABILITY:g} has bfloat16"
    else:
        chosen, reason = _on_cpu(cpu_flags(), width)
    return chosen, (
        f"runtime.precision=auto is {chosen} here: {reason}. Weights and log-probs are float32 in "
        "any case; the recipe names the format, so that no result of another one is reused."
    )


def _on_cpu(flags: frozenset[str], width: int) -> tuple[Precision, str]:
    has = next((flag for flag in FLAGS if flag in flags), None)
    if has is None:
        return Precision.float32, f"the processor has neither {' nor '.join(FLAGS)}"
    if width < NARROWEST:
        model = f"a model of width {width}" if width else "a model of unknown width"
        return (
            Precision.float32,
            f"the processor has {has}, but {model} gains nothing from it; {NARROWEST} and more may",
        )
    return Precision.bfloat16, f"the processor has {has}, and the model's width is {width}"


def cpu_flags() -> frozenset[str]:
    """What the processor can do, in the kernel's words; nothing where it does not say."""
    if not CPUINFO.is_file():
        return frozenset()
    lines = CPUINFO.read_text(encoding="utf8", errors="replace").splitlines()
    line = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())


def gpu_capability() -> float:
    """The least compute capability of the GPUs that this process may use, asked without torch; 0 if
    there is none, or if torch is made for CPUs."""
    return 0.0 if "+cpu" in importlib.metadata.version("torch") else least_capability()


@cache
def has_gpu() -> bool:
    """Whether this process may use a GPU, asked once and without torch."""
    return gpu_capability() > 0


def on_gpu(config: RuntimeConfig) -> bool:
    """Whether a run computes on GPUs: device=auto takes one if there is one here."""
    return config.device is Device.cuda or (config.device is Device.auto and has_gpu())
