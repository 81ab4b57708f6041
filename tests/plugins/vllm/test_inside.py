"""vLLM in the same process, as far as it goes without vLLM."""

from __future__ import annotations

from pathlib import Path

from preflab_vllm.inside import architecture
from tiny_vllm import SHAPE, tiny_policy


def test_a_policy_keeps_its_vllm_when_it_is_saved(tmp_path: Path) -> None:
    """Saving writes into the config of the model; another width is another model."""
    policy, other = tiny_policy(tmp_path, **SHAPE), tiny_policy(tmp_path, **SHAPE | {"width": 128})
    before = architecture(policy)
    policy.save(tmp_path / "model")
    assert architecture(policy) == before
    assert architecture(other) != before
