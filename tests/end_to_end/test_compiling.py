"""Whole stages with `runtime.compile`: a reward model and PPO-ptx, as sharded.py trains them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from end_to_end.runs import digests, killed, preflab
from end_to_end.test_sharding import differences
from plugins.causal_lm.fast.test_compiling import QUIET
from preflab.runtime import Sharding
from preflab_builtin.causal_lm.fast import compiling
from processes import trained
from sharded import Case

pytestmark = [pytest.mark.reliability, *QUIET]
TRACED = "aot_eager"
WORDS = (
    "debug=fast",
    "artifacts.dir=artifacts",
    "checkpoint.every_steps=1",
    "runtime.threads=1",
    "runtime.compile=true",
)

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="no compiler of C++ is installed here"
)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes run torch's trace of a block and compile nothing."""
    import torch._dynamo.backends.debugging  # takes a second, which the processes need not spend
    import torch._functorch.aot_autograd  # noqa: F401

    monkeypatch.setattr(compiling, "BACKEND", TRACED)


@pytest.mark.usefixtures("traced")
def test_a_compiled_run_equals_a_plain_one_and_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """Reward model, then two epochs of PPO-ptx with an entropy term; from the oldest checkpoint of
    each the rest is computed again."""
    plain, made = (trained(Case(compile=c), tmp_path / str(c), 1) for c in (False, True))
    largest, furthest = differences(plain, made)
    assert 0 < largest <= 1e-5, "equal bits: was anything compiled?"
    assert furthest <= 1e-4
    resumed = trained(Case(compile=True, then=made), tmp_path / "resumed", 1)
    assert differences(made, resumed) == (0, 0)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    "options, processes",
    [
        ({"sharding": Sharding.full, "reshard": False, "family": "gpt2"}, 2),
        ({"checkpointing": True, "sharding": Sharding.full}, 2),
        ({"rank": 4}, 1),
    ],
)
def test_it_equals_plain_blocks_however_it_is_computed(
    options: dict[str, Any], processes: int, tmp_path: Path
) -> None:
    if "rank" in options:
        pytest.importorskip("peft", reason="the extra lora is not installed")
    case = Case(**options)
    plain = trained(case, tmp_path / "plain", processes)
    made = trained(replace(case, compile=True), tmp_path / "made", processes)
    largest, furthest = differences(plain, made)
    assert largest <= 1e-5
    assert furthest <= 1e-4


@needs_compiler
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_code_of_the_compiler_equals_plain_blocks(family: str, tmp_path: Path) -> None:
    plain = Case(family=family)
    one = trained(plain, tmp_path / "plain", 1)
    two = trained(replace(plain, compile=True), tmp_path / "compiled", 1)
    largest, furthest = differences(one, two)
    assert 0 < largest <= 1e-5
    assert furthest <= 1e-4


@needs_compiler
def test_a_killed_and_repeated_run_leaves_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the command line; each run has its own folder of codes, so that each compiles for the
    batch that it meets first. Nothing of it is in the run's folders."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / f"codes-{folder.name}"))
        if folder is broken:
            killed(folder, "algorithm", 1, *WORDS)
            monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "codes-resumed"))
        assert preflab(folder, *WORDS) == 0, (folder / "log.txt").read_text()[-3000:]
    assert digests(broken) == digests(whole)
    assert any((tmp_path / "codes-resumed").rglob("*.so"))
    assert not any(p.suffix in (".so", ".cpp") for p in whole.rglob("*"))
