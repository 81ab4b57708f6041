"""An engine's own log-probabilities against the policy's: numbers by hand, weights in the loss,
guards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from preflab.errors import NumericError, UserError
from preflab.interfaces import Policy, RolloutEngine, Sampling
from preflab.likelihood import response_log_probs
from preflab.records import Prompt, Rollout
from preflab_builtin.on_policy.config import SamplerConfig
from preflab_builtin.on_policy.inputs import preflight
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.on_policy.resampling import replaced
from preflab_builtin.on_policy.sampler import agreement, importance
from tiny_ppo import config, ppo, steps, weights


def test_agreement_by_hand() -> None:
    # Two tokens with w = exp(old - sampled) of 2 and 1. k3: 2 - 1 - log 2, and 0.
    # Effective share: (2 + 1)^2 / (2 (4 + 1)).
    old = torch.tensor([[math.log(0.4), -1.0, 7.0]])
    sampled = torch.tensor([[math.log(0.2), -1.0, 0.0]])
    found = agreement(old, sampled, torch.tensor([[True, True, False]]))
    assert found == {
        "sampler/kl": pytest.approx((1 - math.log(2)) / 2, abs=1e-6),
        "sampler/difference": pytest.approx(math.log(2) / 2, abs=1e-6),
        "sampler/max_difference": pytest.approx(math.log(2), abs=1e-6),
        "sampler/ess": pytest.approx(0.9, abs=1e-6),
    }


def test_importance_is_cut_at_the_cap_and_one_on_pads() -> None:
    old, sampled = torch.tensor([[0.0, 0.0, -1.0, 5.0]]), torch.tensor([[-3.0, -0.5, 0.0, 0.0]])
    mask = torch.tensor([[True, True, True, False]])
    expected = [[2.0, math.exp(0.5), math.exp(-1.0), 1.0]]
    assert torch.allclose(importance(old, sampled, mask, 2.0), torch.tensor(expected))


class _Foreign:
    """The engine's own rollouts, with log-probs that are off by a number."""

    def __init__(self, engine: RolloutEngine, off: float | None, weights: str = "") -> None:
        self.engine, self.off, self.sampling = engine, off, engine.sampling
        self.weights = weights

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        rollout = self.engine.generate(policy, prompts, sampling, seed)
        if self.off is None:
            return replace(rollout, weights=self.weights)
        with torch.no_grad():
            own = response_log_probs(policy, rollout, sampling.temperature)
        return replace(rollout, log_probs=own + self.off * rollout.response_mask)


def _foreign(
    folder: Path, off: float | None, version: str = "", **sampler: float | None
) -> OnPolicy:
    procedure = ppo(folder, sampler=SamplerConfig(**sampler))
    procedure.engine = _Foreign(procedure.engine, off, version)
    procedure.sampler.foreign = True
    return procedure


def test_weights_change_the_policy_loss_alone(tmp_path: Path) -> None:
    # Off by -log 1.5: every token has the weight 1.5, below the cap; off by -log 4: the cap.
    plain = steps(ppo(tmp_path), 0, 1)[0]
    for off, factor in ((-math.log(1.5), 1.5), (-math.log(4), 2.0)):
        row = steps(_foreign(tmp_path, off, limit=None, cap=2.0), 0, 1)[0]
        # Of the first minibatch, before any weight has moved, the gradient is that times the
        # factor; later ones follow other weights, so that the mean is only near it.
        assert row["policy/grad_norm"] == pytest.approx(
            factor * plain["policy/grad_norm"], rel=0.05
        )
        assert row["value/grad_norm"] == pytest.approx(plain["value/grad_norm"], rel=1e-3)
    uncapped = steps(_foreign(tmp_path, -math.log(4), limit=None), 0, 1)[0]
    assert {k: uncapped[k] for k in plain} == plain


def test_an_engine_that_says_nothing_changes_nothing(tmp_path: Path) -> None:
    row = steps(ppo(tmp_path), 0, 1)[0]
    assert not [name for name in row if name.startswith("sampler/")]


@pytest.mark.parametrize(
    "off, version, message",
    [
        (None, "", "gave no log-probabilities"),
        (None, "other", "sampled from the weights other, and the policy has [0-9a-f]{16}"),
        (0.2, "", "0.2 nats per token from the policy's, above algorithm.sampler.limit=0.1"),
        (-math.inf, "", "not finite"),
    ],
)
def test_a_foreign_engine_has_to_tell_the_truth(
    tmp_path: Path, off: float | None, version: str, message: str
) -> None:
    procedure = _foreign(tmp_path, off, version)
    before = weights(procedure)
    with pytest.raises(NumericError, match=message) as caught:
        procedure.step(0)
    assert caught.value.exit_code == 5
    assert all(torch.equal(before[k], v) for k, v in weights(procedure).items())


def test_a_difference_that_grows_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    procedure = _foreign(tmp_path, 0.004)  # as bfloat16
    procedure.step(0)
    assert not caplog.records
    assert isinstance(procedure.engine, _Foreign)
    procedure.engine.off = 0.05
    procedure.step(1)
    assert "is its copy of the weights refreshed" in caplog.text


def test_an_engine_that_was_exact_has_to_stay_near(tmp_path: Path) -> None:
    """0.002 is a fiftieth of algorithm.sampler.limit."""
    procedure = _foreign(tmp_path, 0.0)
    procedure.step(0)
    assert isinstance(procedure.engine, _Foreign)
    procedure.engine.off = 0.002
    with pytest.raises(NumericError, match=r"0\.002 nats .* above 0\.001, the limit of an engine"):
        procedure.step(1)


def test_a_cap_without_log_probs_is_refused(tmp_path: Path) -> None:
    procedure = ppo(tmp_path)
    capped = config(sampler=SamplerConfig(cap=2.0))
    with pytest.raises(UserError, match="rollout=continuous"):
        list(preflight(capped, procedure.context))
    procedure.sampler.config = capped.sampler
    with pytest.raises(UserError, match="this one says nothing"):
        procedure.step(0)


def test_rows_in_the_place_of_others_bring_their_log_probs(tmp_path: Path) -> None:
    procedure = _foreign(tmp_path, 0.0)
    policy, prompts = procedure.policy, procedure.prompts
    first, other = (
        procedure.engine.generate(policy, prompts[a:b], Sampling(4), (a,))
        for a, b in ((0, 3), (5, 6))
    )
    said, others = first.drawn_by(), other.drawn_by()
    assert said is not None
    assert others is not None
    mixed = replaced(first, [1], other, policy.tokenizer)
    assert mixed.drawn_by() == [said[0], others[0], said[2]]
