"""GPUs that a process may use, told by a driver's tool that the test writes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from preflab import precision
from preflab.runtime import Precision, RuntimeConfig
from preflab.visible import ORDER, VISIBLE, least_capability

GPUS = ("0, GPU-aa11, 8.6", "1, GPU-bb22, 7.5")


@pytest.fixture(autouse=True)
def _tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a machine with an Ampere (8.6) and a Turing (7.5)."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!{sys.executable}\nprint({chr(10).join(GPUS)!r})\n")
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.delenv(ORDER, raising=False)


@pytest.mark.parametrize(
    ("named", "order", "least"),
    [
        (None, "", 7.5),
        ("", "", 0.0),
        ("-1", "", 0.0),
        ("7", "", 0.0),
        ("GPU-aa", "", 8.6),
        ("GPU-aa,GPU-bb", "", 7.5),
        ("0", "PCI_BUS_ID", 8.6),
        ("1", "PCI_BUS_ID", 7.5),
        # CUDA counts the fastest first, which nvidia-smi does not tell: it may be either.
        ("0", "", 7.5),
        ("MIG-1/2", "", 7.5),
    ],
)
def test_capability_is_that_of_the_gpus_that_may_be_used(
    monkeypatch: pytest.MonkeyPatch, named: str | None, order: str, least: float
) -> None:
    if named is not None:
        monkeypatch.setenv(VISIBLE, named)
    monkeypatch.setenv(ORDER, order)
    assert least_capability() == least


def test_a_machine_without_the_tool_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert least_capability() == 0.0


def test_precision_auto_leaves_out_gpus_that_are_not_visible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A CPU without bfloat16 beside an Ampere: the format, and the reason, are the CPU's."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0")
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset({"avx2"}))
    config = RuntimeConfig(precision=Precision.auto)
    monkeypatch.setenv(VISIBLE, "GPU-aa")
    assert precision.decided(config, 576)[0] is Precision.bfloat16
    monkeypatch.setenv(VISIBLE, "")
    chosen, said = precision.decided(config, 576)
    assert chosen is Precision.float32
    assert "the processor has neither" in said
