"""What runtime.precision=auto stands for, and that the recipe names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab import UserError, precision
from preflab.precision import NARROWEST, decided
from preflab.runtime import Device, Precision, RuntimeConfig


def auto(
    monkeypatch: pytest.MonkeyPatch, flags: str, capability: float = 0.0, device: str = "auto"
) -> RuntimeConfig:
    """A runtime that leaves the choice, on a machine with these flags and this GPU."""
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags.split()))
    monkeypatch.setattr(precision, "gpu_capability", lambda: capability)
    return RuntimeConfig(device=Device(device), precision=Precision.auto)


@pytest.mark.parametrize(
    ("flags", "capability", "device", "width", "chosen", "reason"),
    [
        ("avx2", 0, "auto", 576, "float32", "has neither amx_bf16 nor avx512_bf16"),
        ("avx512_bf16", 0, "auto", NARROWEST, "bfloat16", "has avx512_bf16"),
        ("avx512_bf16 amx_bf16", 0, "cpu", 576, "bfloat16", "has amx_bf16"),
        ("avx512_bf16", 0, "auto", 128, "float32", "width 128 gains nothing"),
        ("avx512_bf16", 0, "auto", 0, "float32", "unknown width"),
        ("avx2", 9.0, "auto", 128, "bfloat16", "compute capability 9"),
        ("avx512_bf16", 7.5, "cuda", 576, "float32", "compute capability 7.5"),
        ("avx2", 9.0, "cpu", 576, "float32", "has neither"),
    ],
)
def test_it_says_what_it_chose_and_why(
    monkeypatch: pytest.MonkeyPatch,
    flags: str,
    capability: float,
    device: str,
    width: int,
    chosen: str,
    reason: str,
) -> None:
    found, said = decided(auto(monkeypatch, flags, capability, device), width)
    assert found == chosen
    assert said.startswith(f"runtime.precision=auto is {chosen} here: ")
    assert reason in said


def test_a_gpu_that_this_machine_does_not_see_is_not_decided_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the processor a login node would choose bfloat16 here, and a GPU node perhaps not."""
    runtime = auto(monkeypatch, "amx_bf16", 0.0, "cuda")
    with pytest.raises(UserError, match=r"Name the format: runtime\.precision=bfloat16 .*float32"):
        decided(runtime, 576)


def test_a_format_that_was_named_is_kept_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    auto(monkeypatch, "amx_bf16", 9.0)
    assert decided(RuntimeConfig(), 576) == (Precision.float32, "")


def test_flags_are_read_from_the_kernels_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16\n\nprocessor\t: 1\n")
    monkeypatch.setattr(precision, "CPUINFO", file)
    assert precision.cpu_flags() == {"fpu", "avx512_bf16"}
