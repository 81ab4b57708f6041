"""The policy judged while PPO trains it: nothing that it learns changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.records import Prompt
from preflab.rewards import FunctionReward
from preflab_builtin.evaluation.config import KLConfig, LengthConfig, RewardConfig
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.ppo import training
from preflab_builtin.rewards.functions import noise_reward
from preflab_builtin.rollouts.config import NativeConfig
from preflab_builtin.rollouts.native import NativeEngine
from preflab_builtin.training.config import WatchConfig
from support import WORDS, FakeContext, cpu_runtime, largest_difference
from tiny_ppo import PROMPTS, config, steps, weights

HELD_OUT = [Prompt(f"v{i}", WORDS[i], split="validation") for i in range(6)]


def watched(folder: Path, held_out: list[Prompt] = HELD_OUT, **options: Any) -> OnPolicy:
    context = FakeContext(
        folder,
        [*PROMPTS, *held_out],
        reward=FunctionReward(noise_reward(0)),
        engine=NativeEngine(NativeConfig(max_tokens=6), cpu_runtime()),
    )
    return training.ppo(config(**options), context)


def judges(**options: Any) -> WatchConfig:
    those = {"reward": RewardConfig(), "kl": KLConfig(), "length": LengthConfig()}
    return WatchConfig(**{"every": 2, "prompts": 4, "evaluators": those, **options})


def test_training_does_not_know_that_it_is_watched(tmp_path: Path) -> None:
    alone, other = watched(tmp_path), watched(tmp_path, watch=judges())
    rows = steps(alone, 0, 4), steps(other, 0, 4)
    assert largest_difference(weights(alone), weights(other)) == 0
    assert [
        {k: v for k, v in row.items() if not k.startswith("watch/")} for row in rows[1]
    ] == rows[0]


def test_it_is_judged_when_due_on_the_same_prompts_with_the_same_noise(tmp_path: Path) -> None:
    still = watched(tmp_path, watch=judges())
    for optimization in still.optimizations.values():
        optimization.config.lr = 0.0
    rows = steps(still, 0, 4)
    assert [sorted(k for k in row if k.startswith("watch/")) for row in rows] == [
        [],
        [
            "watch/kl/reference",
            "watch/length/terminated",
            "watch/length/tokens",
            "watch/reward/proxy",
        ],
        [],
        [
            "watch/kl/reference",
            "watch/length/terminated",
            "watch/length/tokens",
            "watch/reward/proxy",
        ],
    ]
    # The policy does not move: the same responses, and no KL to what it began from.
    assert rows[1]["watch/reward/proxy"] == rows[3]["watch/reward/proxy"]
    assert rows[1]["watch/kl/reference"] == pytest.approx(0, abs=1e-6)


def test_what_is_judged_is_what_would_be_the_result(tmp_path: Path) -> None:
    # With an average that never moves, the result is the policy as it was at the start.
    averaged = watched(tmp_path, watch=judges(every=1), ema=1 - 1e-12)
    assert steps(averaged, 0, 2)[1]["watch/kl/reference"] == pytest.approx(0, abs=1e-4)
    plain = watched(tmp_path, watch=judges(every=1))
    assert abs(steps(plain, 0, 2)[1]["watch/kl/reference"]) > 1e-3


def test_early_stopping_is_a_result(tmp_path: Path) -> None:
    # The KL only grows from 0: the first judgement stays the least, and one more ends it.
    procedure = watched(tmp_path, watch=judges(every=1, patience=1), keep="least:kl/reference")
    done = 0
    while done < procedure.total_steps:
        procedure.step(done)
        done += 1
    assert 1 < done < 4
    assert procedure.total_steps == done
    assert procedure.accounting([])["result of step"] < done


def test_without_prompts_of_the_split_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no validation prompts.*watch\.split"):
        watched(tmp_path, [], watch=judges())
