"""Best-of-n for every n from one pool, against enumeration of all subsets."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from preflab.interfaces import Subject
from preflab.records import Prompt, Rollout
from preflab.rewards import FunctionReward
from preflab_builtin.baselines.best_of_n import BestOfN
from preflab_builtin.evaluation.best_of_n_curve import BestOfNCurve, expected_best
from preflab_builtin.evaluation.config import BestOfNCurveConfig
from preflab_builtin.rewards.functions import noise_reward
from support import FakeContext, UncheckedReward

REWARDS = [0.3, -1.0, 2.5, 0.9, 0.1, 1.7]
VALUES = [5.0, 1.0, -2.0, 4.0, 3.0, 0.5]


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_is_the_mean_over_all_subsets(n: int) -> None:
    subsets = list(itertools.combinations(range(6), n))
    best = [VALUES[max(subset, key=lambda i: REWARDS[i])] for subset in subsets]
    assert expected_best(REWARDS, VALUES, n) == pytest.approx(sum(best) / len(subsets))


def test_one_is_the_mean_and_all_is_the_best() -> None:
    assert expected_best(REWARDS, VALUES, 1) == pytest.approx(sum(VALUES) / 6)
    assert expected_best(REWARDS, VALUES, 6) == -2.0  # the sample with reward 2.5


def test_equal_rewards_share_their_places() -> None:
    # Which of two equals is taken must not decide: with n = 2 of {1, 1} the value is their mean.
    assert expected_best([1.0, 1.0], [0.0, 10.0], 2) == 5.0
    assert expected_best([1.0, 1.0], [10.0, 0.0], 2) == 5.0


def test_the_curve_is_the_reward_of_best_of_n(tmp_path: Path) -> None:
    prompts = [Prompt(f"p{i}", "red blue", split="test") for i in range(6)]
    context = FakeContext(tmp_path, prompts, reward=FunctionReward(noise_reward(0)))
    responder = BestOfN(1, context.policy("initial"), context.rollout(), context.reward_model())
    subject = Subject(responder, responder.respond(prompts, (1,)), None, None)
    measures = (
        BestOfNCurve(BestOfNCurveConfig(pool=8, prompts=4), context).evaluate(subject).measures
    )
    rewards = [measures[f"best_of/{n}/reward"].value for n in (1, 2, 4, 8)]
    assert rewards == sorted(rewards)  # more to choose from is never worse
    assert rewards[0] < rewards[-1]
    assert measures["best_of/8/kl"].value == pytest.approx(math.log(8) - 7 / 8)
    assert measures["best_of/1/reward"].n == 4
    assert not any("gold" in name for name in measures)  # nobody knows the truth here


def test_the_pool_is_asked_with_the_prefix_which_the_reward_does_not_read(tmp_path: Path) -> None:
    prompts = [Prompt(f"p{i}", "red blue", split="test") for i in range(3)]
    read, asked = set[str](), set[str]()

    def length(prompt: Prompt, text: str) -> float:
        read.add(prompt.text)
        return float(len(text))

    reward = UncheckedReward(length)
    context = FakeContext(tmp_path, prompts, reward=reward)
    engine, generate = context.rollout(), context.rollout().generate

    def listening(policy: Any, given: Sequence[Prompt], *rest: Any) -> Any:
        asked.update(prompt.text for prompt in given)
        return generate(policy, given, *rest)

    engine.generate = listening  # type: ignore[assignment, method-assign]
    responder = context.responder("initial")
    rollout = Rollout.from_texts(context.tokenizer, prompts, ["good"] * 3)
    subject = Subject(responder, rollout, None, None, "good ")
    BestOfNCurve(BestOfNCurveConfig(pool=2), context).evaluate(subject)
    assert (asked, read) == ({"good red blue"}, {"red blue"})
