"""The built-in policies keep the contract that third parties keep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from preflab.testing import ComponentContract, FakeContext, PolicyContract

_SMALL = ("policy.layers=2", "policy.width=32", "policy.heads=2")


class TestTinyLlama(PolicyContract):
    name = "tiny"
    overrides = _SMALL


class TestTinyGpt2(PolicyContract):
    name = "tiny"
    overrides = (*_SMALL, "policy.family=gpt2")


class TestTinyBytes(PolicyContract):
    name = "tiny"
    overrides = (*_SMALL, "policy.tokenizer=bytes")


class TestPretrained(PolicyContract):
    name = "pretrained"
    required = ("path",)

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        FakeContext(folder).policy("base").save(folder / "model")
        return [f"policy.path={folder / 'model'}"]


class TestSmolLM2(ComponentContract):
    """Its weights come from a package of 135M parameters; tests/plugins/causal_lm reads them."""

    kind = "policy"
    name = "smollm2"
