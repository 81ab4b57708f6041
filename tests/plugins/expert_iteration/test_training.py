"""Expert iteration: which responses are kept, what their gradient is, and what it converges to."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch

from preflab.likelihood import response_log_probs
from preflab_builtin.expert_iteration.training import best_rows
from preflab_builtin.on_policy.config import KLPenaltyConfig
from support import gradients, largest_difference
from tiny_on_policy import tiny
from tiny_ppo import capture_experience, recorded, steps


def test_one_row_per_prompt_is_kept_of_equal_ones_the_first() -> None:
    # 1 2 2 | -1 -3 -2
    assert best_rows(torch.tensor([1.0, 2.0, 2.0, -1.0, -3.0, -2.0]), 3) == [1, 3]


def test_what_is_kept_is_distributed_as_best_of_n() -> None:
    """Over all 27 groups of three draws from three arms, the chance that the kept one is an arm:
    F(r)^3 - F(just below r)^3, with F the chance of a reward of at most r. Imitating it without end
    gives this distribution, since cross-entropy is least there."""
    chance, worth = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([1.0, 0.0, -1.0])
    found = torch.zeros(3)
    for arms in product(range(3), repeat=3):
        (kept,) = best_rows(worth[list(arms)], 3)
        found[arms[kept]] += chance[list(arms)].prod()
    # Best first: 1 - .8^3, .8^3 - .5^3, .5^3.
    assert found.tolist() == pytest.approx([0.488, 0.387, 0.125], abs=1e-6)


def test_the_gradient_is_that_of_the_mean_log_likelihood_of_the_kept_tokens(
    tmp_path: Path,
) -> None:
    found = []
    for micro_batch in (64, 2, 1):
        procedure = tiny("expert_iteration", tmp_path, micro_batch)
        kept, taken = capture_experience(procedure), recorded(procedure)
        row = procedure.step(0)
        found.append(taken)
        assert len(taken) == 2  # 16 responses, 8 an optimizer step: 2 of the 4 kept ones
    (experience,) = kept
    assert len(experience.rollout) == 4
    policy = procedure.context.policy("initial")
    totals, losses = [], []
    for part in procedure._minibatches(0, 0, experience.rollout):
        rows = experience.rollout.rows(part)
        policy.module.zero_grad()
        loss = -response_log_probs(policy, rows).sum() / int(rows.response_lengths.sum())
        torch.autograd.backward(loss)
        losses.append(float(loss.detach()))
        totals.append({f"policy.{k}": g for k, g in gradients(policy.module).items()})
    for tried in found:
        for ours, wanted in zip(tried, totals, strict=True):
            assert largest_difference(ours, wanted) < 1e-5
    assert row["loss/policy_avg"] == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_the_best_is_the_best_less_the_price_of_the_kl(tmp_path: Path) -> None:
    for coef, score_alone in ((0.0, True), (1e3, False)):
        procedure = tiny("expert_iteration", tmp_path, kl=KLPenaltyConfig(coef=coef))
        kept = capture_experience(procedure)
        rows = steps(procedure, 0, 3)
        seen = procedure.context.seen[2][1]  # type: ignore[attr-defined]
        scores = torch.tensor(seen["score"])
        kl = torch.tensor(seen["kl"]) if coef else torch.zeros(16)
        best = best_rows(scores - coef * kl, 4)
        assert kept[2].scores.tolist() == scores[best].tolist()
        assert rows[2]["objective/best_score"] == pytest.approx(float(scores[best].mean()))
        assert (best == best_rows(scores, 4)) == score_alone
