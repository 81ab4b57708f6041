"""Options of PPO: the adaptive coefficient, early stopping, penalties, averaged weights; and what
stops it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.errors import NumericError
from preflab.options import problems
from preflab.records import Rollout
from preflab_builtin.on_policy.config import Controller, KLPenaltyConfig
from preflab_builtin.on_policy.experience import penalised
from preflab_builtin.ppo.config import AdvantageConfig, PPOClipConfig, PPOConfig
from support import FakeContext, UncheckedReward, largest_difference
from tiny_ppo import PROMPTS, ppo, steps, value_network, weights


def test_adaptive_coefficient_moves_once_an_iteration(tmp_path: Path) -> None:
    kl = KLPenaltyConfig(coef=0.1, controller=Controller.adaptive, target=1e6, horizon=100.0)
    rows = steps(ppo(tmp_path, kl=kl), 0, 3)
    # Far below the target: the error is cut at -.2; 8 episodes of a horizon of 100.
    factor = 1 - 0.2 * 8 / 100
    assert [row["kl/coef"] for row in rows] == pytest.approx(
        [0.1, 0.1 * factor, 0.1 * factor**2], rel=1e-9
    )


def test_early_stopping_skips_the_rest_of_the_iteration(tmp_path: Path) -> None:
    stopping = ppo(tmp_path, epochs=4, kl=KLPenaltyConfig(coef=0.1, stop_above=1e-9))
    row = steps(stopping, 0, 1)[0]
    assert row["policy/stopped_early"] == 1
    assert stopping.updates == 2  # the first minibatch has approxkl 0, the second is above
    free = ppo(tmp_path, epochs=4)
    assert "policy/stopped_early" not in steps(free, 0, 1)[0]
    assert free.updates == 8  # 4 epochs x 2 minibatches


def test_cut_responses_lose_the_penalty_before_scores_are_clipped(tmp_path: Path) -> None:
    procedure = ppo(tmp_path, missing_eos_penalty=1.0, clip=PPOClipConfig(score=2.0))
    tokenizer = procedure.context.tokenizer
    answers = [[5, tokenizer.eos_id], [5, 6], [5, tokenizer.eos_id], [5, 6]]
    rollout = Rollout.from_tokens(tokenizer, PROMPTS[:4], [[3], [3], [3], [3]], answers)
    raw = torch.tensor([0.5, 0.5, 3.0, 2.5])
    scores, metrics = penalised(raw, rollout, procedure.shapings, procedure.config)
    assert scores.tolist() == [0.5, -0.5, 2.0, 1.5]  # 2.5 - 1 is within the limit again
    assert metrics == {"objective/scores_clipped": 0.25}


def test_the_average_follows_its_recurrence_whatever_the_micro_batch(tmp_path: Path) -> None:
    procedure = ppo(tmp_path, ema=0.992)
    with torch.no_grad():
        for parameter in procedure.policy.module.parameters():
            parameter.fill_(1.0)
    for tensor in procedure.average.weights.values():
        tensor.zero_()
    for _ in range(10):
        procedure.average.move()
    # 1 - .992 ** 10
    assert all(
        torch.allclose(t, torch.tensor(0.07718058804), rtol=1e-5)
        for t in procedure.average.weights.values()
    )
    assert [p.updates for p in (ppo(tmp_path, micro_batch=1), ppo(tmp_path)) if steps(p, 0, 2)] == [
        4,
        4,
    ]


def test_the_average_is_the_result_and_not_what_samples(tmp_path: Path) -> None:
    plain, averaged = ppo(tmp_path), ppo(tmp_path, ema=0.9)
    assert steps(plain, 0, 3) == steps(averaged, 0, 3)
    averaged.save(tmp_path / "averaged")
    plain.save(tmp_path / "plain")
    source = FakeContext(tmp_path).source
    saved = source.load(tmp_path / "averaged" / "model").module.state_dict()
    assert largest_difference(saved, averaged.average.weights) == 0
    last = source.load(tmp_path / "plain" / "model").module.state_dict()
    assert largest_difference(last, plain.policy.module.state_dict()) == 0
    assert largest_difference(last, saved) > 1e-4


def test_a_score_that_is_none_stops_with_untouched_weights(tmp_path: Path) -> None:
    procedure = ppo(tmp_path, reward=UncheckedReward(lambda prompt, text: math.nan))
    before = weights(procedure)
    with pytest.raises(NumericError, match="scores of prompt"):
        procedure.step(0)
    assert largest_difference(before, weights(procedure)) == 0


def test_a_bad_gradient_of_the_value_network_leaves_the_policy_alone(tmp_path: Path) -> None:
    procedure = ppo(tmp_path)
    weight = next(iter(value_network(procedure).module.parameters()))
    weight.register_hook(lambda gradient: gradient * math.nan)  # type: ignore[no-untyped-call]
    before = weights(procedure)
    with pytest.raises(NumericError, match="gradient of value"):
        procedure.step(0)
    assert largest_difference(before, weights(procedure)) == 0


@pytest.mark.parametrize(
    "options,key",
    [
        ({"minibatch": 3}, "minibatch"),
        ({"minibatch": 16}, "minibatch"),
        ({"episodes": 4}, "episodes"),
        ({"kl": KLPenaltyConfig(controller=Controller.adaptive, coef=0.0)}, "kl.coef"),
        ({"kl": KLPenaltyConfig(controller=Controller.adaptive, horizon=1.0)}, "kl.horizon"),
        ({"kl": KLPenaltyConfig(coef=-1.0)}, "kl.coef"),
        ({"advantage": AdvantageConfig(gamma=1.5)}, "advantage.gamma"),
        ({"ema": 1.0}, "ema"),
    ],
)
def test_values_that_do_not_fit_are_named(options: dict[str, Any], key: str) -> None:
    values: dict[str, Any] = {"episodes": 32, "batch": 8, "minibatch": 4, **options}
    assert key in [name for name, _ in problems(PPOConfig(**values))]
