"""SLiC keeps preflab's contract, and its loss is the hinge of its margins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from preflab.likelihood import response_log_probs
from preflab.records import Prompt, Ranking, Rollout
from preflab.testing import AlgorithmContract, FakeContext, FastRun, tiny_records

from preflab_pairs.config import SLiCConfig
from preflab_pairs.slic import SLiC, hinge_loss, pairs_of


class TestSLiC(AlgorithmContract):
    name = "slic"
    overrides = ("algorithm.optimizer.lr=0.01", "algorithm.max_tokens=4")


def test_the_loss_of_two_pairs_by_hand() -> None:
    better, worse = torch.tensor([2.0, -1.0]), torch.tensor([-1.0, 0.0])
    loss, margins = hinge_loss(better, worse, beta=0.5)
    # Margins 0.5 (2 + 1) = 1.5 and 0.5 (-1 - 0) = -0.5; max(0, 1 - x) is 0 and 1.5.
    assert margins.tolist() == [1.5, -0.5]
    assert float(loss) == pytest.approx(1.5)


def test_a_ranking_of_three_with_a_tie_has_two_pairs() -> None:
    ranking = Ranking(Prompt("1", "p"), ("a", "b", "c"), ((1, 0), (1, 2)))
    assert [(p.better, p.worse) for p in pairs_of([ranking])] == [("b", "a"), ("b", "c")]


def test_the_loss_starts_at_1_and_falls(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, tiny_records())
    every = len(pairs_of(context.rankings("train")))
    config = SLiCConfig(batch=every, epochs=4)  # every step sees all pairs
    config.optimizer.lr = 3e-3
    training = SLiC(config, context)
    rows = [training.step(i) for i in range(4)]
    assert rows[0]["loss/slic"] == pytest.approx(1.0, abs=1e-6)
    assert rows[0]["slic/margin"] == 0.0
    assert rows[3]["slic/margin"] > 0
    assert rows[3]["loss/slic"] < rows[1]["loss/slic"] < 1


def test_the_gradient_by_hand(tmp_path: Path) -> None:
    """-beta (grad log pi(better) - grad log pi(worse)) where the margin is below 1."""
    prompt = Prompt("1", "one plus", split="train")
    context = FakeContext(tmp_path, [Ranking(prompt, ("two good", "bad"), ((0, 1),))])
    training = SLiC(SLiCConfig(beta=0.3, batch=1), context)
    training._backward(training.pairs, 1)
    weights = training.policy.module.named_parameters()
    gradients = {name: p.grad.clone() for name, p in weights if p.grad is not None}
    policy = context.policy("initial")
    rows = Rollout.from_texts(context.tokenizer, [prompt, prompt], ["two good", "bad"])
    better, worse = response_log_probs(policy, rows).sum(-1)
    torch.autograd.backward(-0.3 * (better - worse))
    for name, parameter in policy.module.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-6, rtol=1e-4)


def test_it_learns_from_the_comparisons_stage(preflab_run: Callable[..., FastRun]) -> None:
    run = preflab_run(
        "algorithm=slic",
        "reward_model=none",
        "evaluation=samples",
        "~evaluation.evaluators.reward",
        "evaluation.evaluators.win_rate.judge=labelers",
    )
    assert "comparisons" in run.stages  # nothing else in this run needs rankings
    assert run.metrics("algorithm")[0]["loss/slic"] == pytest.approx(1.0, abs=1e-5)
