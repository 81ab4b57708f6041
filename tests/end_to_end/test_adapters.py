"""A run with adapters from the command line: every stage, killed and resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from end_to_end.runs import digests, killed, preflab

pytest.importorskip("peft", reason="the extra lora is not installed")

_FAST = ("debug=fast", "policy.lora.rank=4", "algorithm=ppo_ptx", "evaluation=none", "name=a")
WORDS = (*_FAST, "checkpoint.every_steps=1")


@pytest.mark.reliability
def test_a_killed_run_with_adapters_ends_with_the_same_bits(tmp_path: Path) -> None:
    """The short form is in tests/plugins/causal_lm/test_adapters.py."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    assert preflab(whole, *WORDS) == 0, (whole / "log.txt").read_text()
    killed(cut, "algorithm", 0, *WORDS)
    assert preflab(cut, *WORDS) == 0, (cut / "log.txt").read_text()
    assert digests(whole) == digests(cut)
    assert list(whole.glob("artifacts/*/algorithm-*/model/adapter/adapter_model.safetensors"))
