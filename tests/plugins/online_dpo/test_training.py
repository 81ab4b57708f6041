"""Online DPO: which rows are a pair, that its loss and gradient are DPO's, and what ties do."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from preflab.likelihood import response_log_probs
from preflab.options import problems
from preflab.rewards import FunctionReward
from preflab_builtin.on_policy.config import Controller, KLPenaltyConfig
from preflab_builtin.online_dpo.config import Labels, OnlineDPOConfig
from preflab_builtin.online_dpo.preflight import preflight
from preflab_builtin.online_dpo.training import pair_rows
from preflab_builtin.preference.config import Loss
from preflab_builtin.rewards.functions import contains_reward
from support import FakeContext, gradients, largest_difference
from tiny_on_policy import tiny
from tiny_ppo import PROMPTS, capture_experience, recorded, steps, weights


def test_the_highest_and_the_lowest_score_are_a_pair_and_ties_are_none() -> None:
    # 1 2 0 | 3 3 3 | -1 -1 -2
    scores = torch.tensor([1.0, 2.0, 0.0, 3.0, 3.0, 3.0, -1.0, -1.0, -2.0])
    assert pair_rows(scores, 3) == [1, 2, 6, 8]


@pytest.mark.parametrize("labels", list(Labels))
def test_loss_and_gradient_are_those_of_dpo_on_the_pairs(labels: Labels, tmp_path: Path) -> None:
    """Iteration 1, by hand: the policy has moved away from its reference."""
    found = []
    for micro_batch in (64, 3, 1):
        procedure = tiny("online_dpo", tmp_path, micro_batch, labels=labels, minibatch=16)
        procedure.step(0)
        kept, taken = capture_experience(procedure), recorded(procedure)
        row = procedure.step(1)
        found.append(taken[0])
    (experience,) = kept
    rows, scores = experience.rollout, experience.scores
    policy, reference = procedure.policy, procedure.context.policy("initial")
    policy.module.zero_grad()
    h = response_log_probs(policy, rows).sum(-1) - response_log_probs(reference, rows).sum(-1)
    losses = []
    for better in range(0, len(rows), 2):
        margin = 0.1 * (h[better] - h[better + 1])
        gap = float(scores[better] - scores[better + 1])
        assert gap > 0
        right = 1.0 if labels is Labels.higher else 1 / (1 + math.exp(-gap))
        losses.append(
            -right * torch.log(torch.sigmoid(margin))
            - (1 - right) * torch.log(torch.sigmoid(-margin))
        )
    loss = torch.stack(losses).mean()
    torch.autograd.backward(loss)
    wanted = {f"policy.{k}": g for k, g in gradients(policy.module).items()}
    assert len(losses) == 4
    assert row["loss/policy_avg"] == pytest.approx(float(loss.detach()), abs=1e-5)
    for ours in found:
        assert largest_difference(ours, wanted) < 1e-5


def test_the_first_step_s_loss_is_log_2_or_that_of_ipo(tmp_path: Path) -> None:
    for loss, value in ((Loss.dpo, math.log(2)), (Loss.ipo, (1 / (2 * 0.1)) ** 2)):
        procedure = tiny("online_dpo", tmp_path, minibatch=16, loss=loss, labels=Labels.higher)
        row = steps(procedure, 0, 1)[0]
        assert row["loss/policy_avg"] == pytest.approx(value, rel=1e-5)
        assert row["objective/kl"] == 0


def test_ties_are_left_out_of_the_update(tmp_path: Path) -> None:
    procedure = tiny(
        "online_dpo", tmp_path, reward=FunctionReward(contains_reward(["please"])), minibatch=16
    )
    kept = capture_experience(procedure)
    row = procedure.step(0)
    pairs = len(kept[0].rollout) // 2
    assert 0 < pairs < 4
    assert row["objective/groups_without_signal"] == 1 - pairs / 4
    assert row["loss/policy_avg"] == pytest.approx(math.log(2), rel=1e-5)


def test_an_iteration_of_ties_alone_trains_nothing(tmp_path: Path) -> None:
    always_equal = FunctionReward(lambda prompt, text: 1.0)
    procedure = tiny("online_dpo", tmp_path, reward=always_equal)
    before = weights(procedure)
    row = procedure.step(0)
    assert row["objective/groups_without_signal"] == 1
    assert "loss/policy_avg" not in row
    assert largest_difference(before, weights(procedure)) == 0


def test_beta_must_be_there_and_stay() -> None:
    def refused(**options: object) -> dict[str, str]:
        return dict(problems(OnlineDPOConfig(**options)))  # type: ignore[arg-type]

    assert not refused()
    assert "beta" in refused(kl=KLPenaltyConfig(coef=0.0))["kl.coef"]
    adaptive = KLPenaltyConfig(controller=Controller.adaptive)
    assert "fixed" in refused(kl=adaptive)["kl.controller"]
    assert "minibatch" in refused(samples=64, minibatch=32)
    assert "labels=higher" in refused(loss=Loss.ipo)["labels"]
    # Those with options of their own, which online DPO has not.
    for loss in (Loss.kto, Loss.simpo):
        assert refused(loss=loss) == {"loss": f"is {loss} but must be dpo or ipo"}


def test_a_run_says_what_moves_the_optimum(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, PROMPTS)
    assert list(preflight(OnlineDPOConfig(), context)) == []
    (said,) = preflight(OnlineDPOConfig(labels=Labels.higher), context)
    assert "0.20 off" in said
