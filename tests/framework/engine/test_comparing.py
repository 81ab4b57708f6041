"""Engines with a copy of the weights against the policy, in every stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from preflab.engine.comparing import ComparedEngine, prepared
from preflab.errors import NumericError
from preflab.interfaces import Policy, RolloutEngine, Sampling
from preflab.likelihood import response_log_probs
from preflab.records import Prompt, Rollout
from preflab.sampling import ENOUGH, Agreement, differences, false_of
from support import FakeContext

PROMPTS = [Prompt(f"p{i}", "red blue") for i in range(3)]


class Copying:
    """An engine that takes the policy's weights each time, or the first time alone."""

    def __init__(self, engine: RolloutEngine, stale: bool = False) -> None:
        self.engine, self.stale, self.sampling = engine, stale, engine.sampling
        self.copy: Policy | None = None
        self.weights, self.asked = "", list[Sampling]()

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        if self.copy is None or not self.stale:
            self.copy = policy.copy()
        self.asked.append(sampling)
        self.weights = policy.version
        rollout = self.engine.generate(self.copy, prompts, sampling, seed)
        said = None
        if sampling.temperature:
            said = response_log_probs(self.copy, rollout, sampling.temperature).detach()
        return replace(rollout, log_probs=said, weights=self.weights)


def made(folder: Path, seen: Agreement, stale: bool = False) -> tuple[Copying, RolloutEngine]:
    context = FakeContext(folder)
    engine = Copying(context.rollout(), stale)
    return engine, prepared(engine, context.runtime, seen)


def policies(folder: Path) -> tuple[Policy, Policy]:
    """Two that are 0.01 nats per token apart, about."""
    first = FakeContext(folder).policy("base")
    second, generator = first.copy(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in second.module.parameters():
            weight.add_(0.003 * torch.randn(weight.shape, generator=generator))
    return first, second


def test_only_a_foreign_engine_is_compared(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    engine = context.rollout()
    assert prepared(engine, context.runtime, Agreement()) is engine


@pytest.mark.parametrize("temperature", [1.0, 0.0])
def test_a_copy_that_was_not_refreshed_is_told(tmp_path: Path, temperature: float) -> None:
    first, second = policies(tmp_path)
    sampling = Sampling(6, temperature, samples=2)
    _, engine = made(tmp_path, seen := Agreement(), stale=True)
    for _ in range(2):
        engine.generate(first, PROMPTS, sampling, (1,))
    assert seen.smallest < 1e-5
    with pytest.raises(NumericError, match=r"nats per token .* more than 0\.001: .* not refreshed"):
        engine.generate(second, PROMPTS, sampling, (1,))
    seen.smallest = 0.004  # an engine in bfloat16
    engine.generate(second, PROMPTS, sampling, (1,))


def test_it_is_compared_once_for_each_change_of_the_policy(tmp_path: Path) -> None:
    """Greedy tokens have no density: then others are drawn."""
    first, second = policies(tmp_path)
    copying, engine = made(tmp_path, Agreement())
    for policy in (first, first, second, first):
        engine.generate(policy, PROMPTS, Sampling(4, 0.0), (1,))
    assert [s.temperature for s in copying.asked] == [0, 1, 0, 0, 1, 0, 1]


def test_who_compares_by_himself_is_not_stopped(tmp_path: Path) -> None:
    first, second = policies(tmp_path)
    _, engine = made(tmp_path, seen := Agreement(), stale=True)
    for policy in (first, second):
        engine.generate(policy, PROMPTS, Sampling(4, compared=True), (1,))
    assert seen == Agreement()


def test_an_engine_has_to_say_what_it_drew(tmp_path: Path) -> None:
    class Silent(Copying):
        def generate(self, *given: object) -> Rollout:
            return replace(super().generate(*given), log_probs=None)  # type: ignore[arg-type]

    first, _ = policies(tmp_path)
    context = FakeContext(tmp_path)
    engine = ComparedEngine(Silent(context.rollout()), context.runtime, Agreement())
    with pytest.raises(NumericError, match="gave no log-probabilities"):
        engine.generate(first, PROMPTS, Sampling(4), (1,))


def test_only_tokens_of_which_the_policy_was_unsure_show_that_an_engine_is_exact() -> None:
    """Every difference is 0.004, as of an honest bfloat16 engine, but 0 on sure tokens (p > 0.9).
    17 of 20 tokens are unsure: their mean is 0.004, and that of all is 17/20 of it."""
    own = torch.full((1, 20), -2.0)
    own[0, :3] = -0.01
    said = torch.where(own < -1, own + 0.004, own)
    mask = torch.ones_like(own, dtype=torch.bool)
    mean, near = differences(own, said, mask)
    assert near == pytest.approx(0.004, rel=1e-3)
    assert mean == pytest.approx(0.004 * 17 / 20, rel=1e-3)
    own[0, : 20 - ENOUGH + 1] = -0.01  # one too few are unsure: nothing is known
    assert differences(own, said, mask)[1] == float("inf")
    assert differences(own, said, ~mask)[0] == 0


def test_weights_of_another_version_are_named(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    rollout = context.rollout().generate(
        context.policy("base"), PROMPTS, Sampling(2, 1.0, 1), (1, "test")
    )
    assert "sampled from the weights old, and the policy has new" in false_of(
        replace(rollout, weights="old"), "new"
    )
    assert "gave no log-probabilities" in false_of(replace(rollout, log_probs=None), "new")
