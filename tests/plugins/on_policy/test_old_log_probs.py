"""Old log-probs from the rollout engine in the place of a forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from preflab.errors import NumericError, UserError
from preflab.interfaces import Policy, RolloutEngine, Sampling
from preflab.likelihood import response_log_probs
from preflab.options import problems
from preflab.records import Prompt, Rollout
from preflab.runtime import Precision, RuntimeConfig
from preflab_builtin.on_policy.config import OldLogProbs, SamplerConfig
from preflab_builtin.on_policy.inputs import preflight
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.on_policy.sampler import guard_of
from preflab_builtin.ppo.config import PPOConfig
from support import largest_difference
from tiny_on_policy import ALGORITHMS, tiny
from tiny_ppo import capture_experience, config, ppo, steps, weights

SAMPLED = OldLogProbs.sampled


class Off:
    """The engine's own rollouts, with log-probs that are off by a number; None: without any."""

    gives_log_probs = True

    def __init__(self, engine: RolloutEngine, off: float | None) -> None:
        self.engine, self.off, self.sampling = engine, off, engine.sampling

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        rollout = self.engine.generate(policy, prompts, sampling, seed)
        said = rollout.log_probs
        if said is None or self.off is None:
            return replace(rollout, log_probs=None)
        return replace(rollout, log_probs=said + self.off * rollout.response_mask)


def sampled(folder: Path, off: float | None = 0.0, **options: Any) -> OnPolicy:
    procedure = ppo(folder, old_log_probs=SAMPLED, **options)
    procedure.engine = Off(procedure.engine, off)
    return procedure


@pytest.mark.parametrize("samples, temperature", [(1, 1.0), (3, 0.7)])
def test_the_engine_says_what_a_forward_pass_gives(
    tmp_path: Path, samples: int, temperature: float
) -> None:
    procedure = ppo(tmp_path)
    sampling = Sampling(6, temperature, samples=samples, log_probs=True)
    rollout = procedure.engine.generate(procedure.policy, procedure.prompts, sampling, (0,))
    assert rollout.log_probs is not None
    with torch.no_grad():
        expected = response_log_probs(procedure.policy, rollout, temperature)
    assert torch.allclose(rollout.log_probs, expected, atol=1e-5)
    assert len({*rollout.response_lengths.tolist()}) > 1  # rows left the batch on the way
    silent = procedure.engine.generate(
        procedure.policy, procedure.prompts, replace(sampling, log_probs=False), (0,)
    )
    assert silent.log_probs is None
    assert torch.equal(silent.response_ids, rollout.response_ids)


def test_training_is_that_of_recomputed_ones_without_their_forward_pass(tmp_path: Path) -> None:
    said, rows, trained = {}, {}, {}
    for name in OldLogProbs:
        procedure = ppo(tmp_path, old_log_probs=name)
        kept = capture_experience(procedure)
        rows[name] = steps(procedure, 0, 2)
        trained[name] = weights(procedure)
        said[name] = kept[0].log_probs
    ours, theirs = rows[SAMPLED], rows[OldLogProbs.recomputed]
    assert torch.allclose(said[SAMPLED], said[OldLogProbs.recomputed], atol=1e-5)
    for row, other in zip(ours, theirs, strict=True):
        assert 0 <= row.pop("sampler/difference") < 1e-5
        # The entropy is that of the tokens drawn: an estimate.
        assert row.pop("objective/entropy") == pytest.approx(other.pop("objective/entropy"), 0.3)
        assert row == pytest.approx(other, abs=1e-4, rel=1e-4)
    for place, weight in trained[SAMPLED].items():
        assert torch.allclose(weight, trained[OldLogProbs.recomputed][place], atol=1e-4), place


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_trains_as_with_recomputed_ones(name: str, tmp_path: Path) -> None:
    plain, other = (tiny(name, tmp_path, old_log_probs=which) for which in OldLogProbs)
    rows = [steps(procedure, 0, 2) for procedure in (plain, other)]
    assert largest_difference(weights(plain), weights(other)) < 1e-4
    assert {*rows[1][0]} == {*rows[0][0], "sampler/difference"}


def test_the_policy_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def noted(policy: Policy, rows: Rollout, temperature: float) -> tuple[torch.Tensor, ...]:
        asked.append(len(rows))
        own = response_log_probs(policy, rows, temperature)
        return own, torch.zeros_like(own)

    monkeypatch.setattr(
        "preflab_builtin.on_policy.experience.response_log_probs_and_entropies", noted
    )
    ppo(tmp_path, old_log_probs=SAMPLED).step(0)
    assert asked == []
    ppo(tmp_path).step(0)
    assert sum(asked) == 8


@pytest.mark.parametrize(
    "off, limit, message",
    [
        (0.002, 0.1, "0.002 nats per token from those of training; at most 0.001 is allowed"),
        (float("nan"), 0.1, "not finite"),
    ],
)
def test_others_end_the_run_before_a_weight_changes(
    tmp_path: Path, off: float, limit: float, message: str
) -> None:
    procedure = sampled(tmp_path, off, sampler=SamplerConfig(limit=limit))
    before = weights(procedure)
    with pytest.raises(NumericError, match=message):
        procedure.step(0)
    assert all(torch.equal(before[k], v) for k, v in weights(procedure).items())


def test_the_limit_of_an_engine_that_is_not_exact_is_the_options(tmp_path: Path) -> None:
    procedure = sampled(tmp_path, 0.01)
    procedure.sampler.exact = False
    assert procedure.step(0)["sampler/difference"] == pytest.approx(0.01, abs=1e-4)
    assert isinstance(procedure.engine, Off)
    procedure.engine.off = 0.2
    with pytest.raises(NumericError, match=r"at most 0\.1 is allowed"):
        procedure.step(1)


def test_an_iteration_that_trains_on_nothing_reports_no_difference(tmp_path: Path) -> None:
    procedure = ppo(tmp_path, old_log_probs=SAMPLED)
    assert "sampler/difference" in procedure.step(0)
    procedure.rules = replace(procedure.rules, chosen=lambda experience: [])
    assert "sampler/difference" not in procedure.step(1)  # not that of the iteration before


def test_an_engine_is_exact_that_reads_the_policy_in_float32(tmp_path: Path) -> None:
    procedure = ppo(tmp_path, old_log_probs=SAMPLED)
    assert procedure.sampler.exact
    narrow = SimpleNamespace(config=RuntimeConfig(precision=Precision.bfloat16))
    assert not guard_of(procedure.config, procedure.engine, narrow).exact  # type: ignore[arg-type]


def test_an_engine_that_says_nothing_is_refused_before_any_work(tmp_path: Path) -> None:
    procedure: Any = sampled(tmp_path, None)
    procedure.engine.gives_log_probs = False
    procedure.context._engine = procedure.engine
    with pytest.raises(UserError, match="choose rollout=native"):
        list(preflight(procedure.config, procedure.context))
    with pytest.raises(UserError, match="does not say them"):
        procedure.step(0)


def test_weights_for_draws_of_another_engine_make_no_sense_with_them() -> None:
    found = problems(PPOConfig(old_log_probs=SAMPLED, sampler=SamplerConfig(cap=2.0)))
    assert "sampler.cap" in str(list(found))
    assert config(old_log_probs=SAMPLED).load(10, {}).passes == config().load(10, {}).passes - 1
