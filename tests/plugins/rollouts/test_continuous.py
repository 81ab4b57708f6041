"""transformers' continuous batching, on a CPU: slow, and the same code as on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from preflab.interfaces import Sampling
from preflab.likelihood import response_log_probs
from preflab.records import Prompt
from preflab_builtin.rollouts.config import ContinuousConfig
from preflab_builtin.rollouts.continuous import SLOW, ContinuousEngine, preflight
from support import FakeContext, cpu_runtime
from tiny_vllm import tiny_policy

PROMPTS = [Prompt("a", "one two three"), Prompt("b", "four")]


def test_it_says_what_it_drew_and_repeats(tmp_path: Path) -> None:
    policy, sampling = tiny_policy(tmp_path), Sampling(3, 0.7, samples=2)
    engine = ContinuousEngine(ContinuousConfig(), cpu_runtime())
    settings: Any = policy.module.config
    attention = settings._attn_implementation
    rollout, again = (engine.generate(policy, PROMPTS, sampling, (1, "x")) for _ in range(2))
    assert rollout.tokens() == again.tokens()
    assert [prompt.id for prompt in rollout.prompts] == ["a", "a", "b", "b"]
    assert rollout.log_probs is not None
    own = response_log_probs(policy, rollout, 0.7).detach()
    assert float(((own - rollout.log_probs).abs() * rollout.response_mask).max()) < 1e-5
    assert rollout.weights == engine.weights == policy.version
    assert settings._attn_implementation == attention


def test_on_a_cpu_it_warns(tmp_path: Path) -> None:
    assert list(preflight(ContinuousConfig(), FakeContext(tmp_path))) == [SLOW]
