"""An on-policy algorithm of another package keeps the contract and every guard of its core."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from preflab.errors import NumericError
from preflab.records import Prompt, Rollout
from preflab.testing import AlgorithmContract, FakeContext, TinyReward, tiny_records

from preflab_pairs.config import OnlineSLiCConfig
from preflab_pairs.online_slic import online_slic


class TestOnlineSLiC(AlgorithmContract):
    name = "online_slic"
    overrides = (
        "algorithm.ema=0.9",
        "algorithm.policy.lr=0.01",
        "+schema/gradient_term@algorithm.terms.ptx=ptx",
        "+reward_shaping@algorithm.shaping.length=length_penalty",
    )


def test_the_loss_starts_at_1_and_pairs_are_learned(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, tiny_records(), reward=TinyReward())
    config = OnlineSLiCConfig(episodes=64, batch=16, minibatch=16)
    config.policy.lr = 1e-2
    training = online_slic(config, context)
    rows = [training.step(i) for i in range(4)]
    # At the reference every margin is 0: max(0, 1 - 0).
    assert rows[0]["loss/policy_avg"] == pytest.approx(1.0, abs=1e-6)
    assert rows[0]["val/ratio"] == 1
    assert rows[3]["objective/kl"] > 0


def test_a_score_that_is_not_finite_changes_no_weight(tmp_path: Path) -> None:
    class Broken:
        def score(self, rollout: Rollout) -> torch.Tensor:
            return torch.full((len(rollout),), float("nan"))

    prompts = [Prompt(str(i), "one plus", split="train") for i in range(8)]
    context = FakeContext(tmp_path, prompts, reward=Broken())
    training = online_slic(OnlineSLiCConfig(episodes=8, batch=8, minibatch=8), context)
    with pytest.raises(NumericError, match=r"algorithm=online_slic.*No weight was changed"):
        training.step(0)
