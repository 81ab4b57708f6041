"""Reward shapings: values by hand, how they are chosen, and what PPO learns from."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from preflab import compose
from preflab.composing.search_path import registry
from preflab.door.choice import Choice
from preflab.planning.reading import choose
from preflab.planning.recipes import identity
from preflab.records import Prompt, Rollout
from preflab_builtin.rewards.shapings import (
    LengthPenaltyConfig,
    ShuffledConfig,
    SoftClipConfig,
    length_penalty,
    shuffled,
    soft_clip,
)
from support import WORDS, FakeContext

LENGTH = "+reward_shaping@algorithm.shaping.length=length_penalty"
BOUND = "+reward_shaping@algorithm.shaping.bound=soft_clip"


def _rollout(folder: Path) -> Rollout:
    tokenizer = FakeContext(folder).tokenizer
    prompts = [Prompt(f"p{i}", WORDS[i]) for i in range(3)]
    return Rollout.from_tokens(
        tokenizer,
        prompts,
        [[3], [3], [3]],
        [[tokenizer.eos_id], [5, tokenizer.eos_id], [5, 6, 7, 8]],
    )


def _chosen(*overrides: str) -> Choice:
    return choose(
        registry(), "algorithm", compose(["algorithm=ppo", *overrides]).algorithm, "algorithm"
    )


def test_a_token_beyond_the_free_ones_costs_the_coefficient(tmp_path: Path) -> None:
    shaped = length_penalty(LengthPenaltyConfig(coef=0.5, free=1), FakeContext(tmp_path))(
        torch.tensor([1.0, 1.0, -1.0]), _rollout(tmp_path)
    )
    assert shaped.tolist() == [
        1.0,
        0.5,
        -2.5,
    ]  # 1, 2 and 4 tokens: none, one and three of them are paid


def test_small_scores_stay_and_large_ones_reach_the_limit(tmp_path: Path) -> None:
    shaped = soft_clip(SoftClipConfig(limit=2.0), FakeContext(tmp_path))(
        torch.tensor([0.01, 2.0, -1000.0]), _rollout(tmp_path)
    ).tolist()
    # tanh x = x - x^3 / 3 + ...: 2 tanh(0.005) = 0.01 - 8.3e-8
    assert shaped == pytest.approx([0.01 - 8.333e-8, 2 * math.tanh(1.0), -2.0], rel=1e-6)


def test_shuffled_scores_are_the_same_scores_in_an_order_of_chance(tmp_path: Path) -> None:
    tokenizer = FakeContext(tmp_path).tokenizer
    prompts = [Prompt(f"p{i}", WORDS[i % len(WORDS)]) for i in range(200)]
    rollout = Rollout.from_tokens(tokenizer, prompts, [[3]] * 200, [[5, tokenizer.eos_id]] * 200)
    scores = torch.arange(200.0)
    dealt = [
        shuffled(ShuffledConfig(draw=draw), FakeContext(tmp_path))(scores.clone(), rollout)
        for draw in (0, 0, 1)
    ]
    assert dealt[0].tolist() == dealt[1].tolist() != dealt[2].tolist()
    for order in dealt:
        assert sorted(order.tolist()) == scores.tolist()
        # A random order's correlation with the scores has the standard deviation 1 / sqrt(199).
        assert abs(float(torch.corrcoef(torch.stack([scores, order]))[0, 1])) < 4 / 199**0.5


def test_they_are_chosen_by_name_with_their_options() -> None:
    choice = _chosen(LENGTH, "algorithm.shaping.length.coef=0.2", BOUND)
    assert choice.config.shaping == {
        "length": LengthPenaltyConfig(coef=0.2),
        "bound": SoftClipConfig(),
    }
    assert list(_chosen(BOUND, LENGTH).config.shaping) == ["bound", "length"]


def test_their_order_is_part_of_the_recipe() -> None:
    one, other = (
        identity(_chosen(*words), {"preflab_builtin"})
        for words in ((LENGTH, BOUND), (BOUND, LENGTH))
    )
    assert one["config"] == other["config"]  # mappings are equal whatever their order
    assert one != other


def test_installed_and_not_named_they_change_nothing() -> None:
    assert _chosen().config.shaping == {}
