"""Reward shapings in PPO: where they stand, that their order counts, and that one which does
nothing changes nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.records import Prompt, Rollout
from preflab.rewards import FunctionReward
from preflab_builtin.on_policy.experience import penalised
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.ppo import training
from preflab_builtin.ppo.config import PPOClipConfig, PPOConfig
from preflab_builtin.rewards.functions import noise_reward
from preflab_builtin.rewards.shapings import LengthPenaltyConfig, SoftClipConfig
from support import WORDS, FakeContext, largest_difference

PROMPTS = [Prompt(f"p{i}", WORDS[i], split="train") for i in range(8)]


def ppo(folder: Path, **options: Any) -> OnPolicy:
    context = FakeContext(folder, PROMPTS, reward=FunctionReward(noise_reward(0)))
    return training.ppo(PPOConfig(episodes=8, batch=8, minibatch=4, **options), context)


def test_they_come_before_the_penalty_and_the_clipping_and_their_order_counts(
    tmp_path: Path,
) -> None:
    length, bound = LengthPenaltyConfig(coef=1.0), SoftClipConfig(limit=1.0)
    raw, tanh = torch.tensor([3.0, 3.0]), math.tanh
    expected = {
        # 1 and 2 tokens; the second is cut: it loses 0.5 more; then 1.5 is the limit
        ("length", "bound"): [tanh(2.0), tanh(1.0) - 0.5],
        ("bound", "length"): [tanh(3.0) - 1, -1.5],  # tanh 3 - 2 - 0.5 = -1.505
    }
    for order, values in expected.items():
        shapings = {name: {"length": length, "bound": bound}[name] for name in order}
        procedure = ppo(
            tmp_path, shaping=shapings, missing_eos_penalty=0.5, clip=PPOClipConfig(score=1.5)
        )
        tokenizer = procedure.context.tokenizer
        rollout = Rollout.from_tokens(
            tokenizer, PROMPTS[:2], [[3], [3]], [[tokenizer.eos_id], [5, 6]]
        )
        scores, metrics = penalised(raw, rollout, procedure.shapings, procedure.config)
        assert scores.tolist() == pytest.approx(values, abs=1e-6)
        assert list(metrics) == [*(f"shaping/{name}" for name in order), "objective/scores_clipped"]


def test_one_that_does_nothing_changes_no_weight(tmp_path: Path) -> None:
    plain, free, priced = (
        ppo(tmp_path, shaping=shaping)
        for shaping in (
            {},
            {"length": LengthPenaltyConfig(coef=0.0)},
            {"length": LengthPenaltyConfig(coef=1.0)},
        )
    )
    for procedure in (plain, free, priced):
        procedure.step(0)
    ours, same, other = (
        procedure.policy.module.state_dict() for procedure in (plain, free, priced)
    )
    assert largest_difference(ours, same) == 0
    assert largest_difference(ours, other) > 0
