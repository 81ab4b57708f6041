"""What PPO carries from step to step: the average, the KL coefficient, the learning rate, the
draws; and what stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.optimization import Optimization, OptimizerConfig, Schedule
from preflab.randomness import draw_order
from preflab.records import Document, Prompt
from preflab.rewards import FunctionReward
from preflab_builtin.on_policy.config import Controller, KLPenaltyConfig
from preflab_builtin.on_policy.experience import Experience
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.ppo import training
from preflab_builtin.ppo.config import AdvantageConfig, PPOConfig
from preflab_builtin.ptx.config import PtxConfig
from preflab_builtin.reward_model.scoring import NetworkReward
from preflab_builtin.rewards.functions import noise_reward
from support import WORDS, FakeContext, largest_difference

PROMPTS = [Prompt(f"p{i}", " ".join(WORDS[: 1 + (3 * i) % 7]), split="train") for i in range(10)]
DOCUMENTS = [
    Document(f"d{i}", " ".join(WORDS[(i + j * j) % 20] for j in range(9)), split="train")
    for i in range(10)
]
Weights = dict[str, torch.Tensor]


def ppo(folder: Path, micro_batch: int = 64, reward: Any = None, **options: Any) -> OnPolicy:
    constant = OptimizerConfig(lr=1e-2, schedule=Schedule.constant, eps=1e-5)
    values: dict[str, Any] = {
        "episodes": 32,
        "batch": 8,
        "minibatch": 4,
        "policy": constant,
        "value": constant,
        **options,
    }
    given = reward or FunctionReward(noise_reward(0))
    return training.ppo(
        PPOConfig(**values),
        FakeContext(folder, [*PROMPTS, *DOCUMENTS], micro_batch=micro_batch, reward=given),
    )


def copied(weights: dict[str, torch.Tensor]) -> Weights:
    return {name: value.clone() for name, value in weights.items()}


@pytest.mark.parametrize("micro_batch", [64, 1])
def test_the_average_moves_once_an_optimizer_step_and_not_once_a_micro_batch(
    micro_batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    procedure = ppo(tmp_path, micro_batch, ema=0.9)
    after: list[Weights] = []
    step = Optimization.step

    def noting(self: Optimization, position: int) -> dict[str, float]:
        found = step(self, position)
        if self.name == "policy":
            after.append(copied(procedure.policy.module.state_dict()))
        return found

    monkeypatch.setattr(Optimization, "step", noting)
    expected = copied(procedure.policy.module.state_dict())
    for index in range(2):
        procedure.step(index)
    assert len(after) == 4  # two iterations of two minibatches
    for weights in after:
        expected = {name: 0.9 * expected[name] + 0.1 * weights[name] for name in expected}
    assert largest_difference(procedure.average.weights, expected) < 1e-6
    assert largest_difference(procedure.average.weights, after[-1]) > 1e-3


def test_the_coefficient_follows_the_mean_over_responses_of_the_summed_log_ratio(
    tmp_path: Path,
) -> None:
    # Ziegler et al.: coef (1 + clip(KL / target - 1, -.2, .2) episodes / horizon), once an
    # iteration, KL a response and not a token. The target is near what is seen, so that the error
    # is not cut.
    target, horizon = 0.05, 10.0
    kl = KLPenaltyConfig(coef=0.5, controller=Controller.adaptive, target=target, horizon=horizon)
    procedure = ppo(tmp_path, kl=kl, advantage=AdvantageConfig(lam=1.0))
    seen: list[float] = []
    update = procedure._update

    def noting(index: int, experience: Experience | None) -> dict[str, float]:
        assert experience is not None
        rows = torch.stack(
            [
                ratio[mask].sum()
                for ratio, mask in zip(experience.log_ratio, experience.mask, strict=True)
            ]
        )
        # With gamma = lambda = 1 a response's first return is all of its reward: the coefficient
        # in force is the adapted one.
        assert experience.returns is not None
        torch.testing.assert_close(
            experience.returns[:, 0],
            experience.scores - procedure.kl_coef * rows,
            atol=1e-6,
            rtol=0,
        )
        seen.append(float(rows.mean()))
        return update(index, experience)

    procedure._update = noting  # type: ignore[method-assign]
    rows = [procedure.step(index) for index in range(4)]
    errors = [min(0.2, max(-0.2, kl / target - 1)) for kl in seen]
    expected = [0.5]
    for error in errors:
        expected.append(expected[-1] * (1 + error * 8 / horizon))
    assert [row["kl/coef"] for row in rows] == pytest.approx(expected[:-1], rel=1e-6)
    assert procedure.kl_coef == pytest.approx(expected[-1], rel=1e-6)
    assert errors[0] == -0.2  # the policy still is its reference: KL 0
    assert max(errors) > 0  # and a larger KL raises the coefficient


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch", [64, 1])
def test_the_learning_rate_moves_once_an_iteration(micro_batch: int, tmp_path: Path) -> None:
    falling = OptimizerConfig(lr=1.0e-4, schedule=Schedule.linear, final_fraction=0.0)
    procedure = ppo(tmp_path, micro_batch, policy=falling, value=falling, epochs=2)
    rows = [procedure.step(index) for index in range(4)]
    # 4 iterations, from the peak to 0, whatever the number of optimizer steps in each.
    for name in ("policy/lr", "value/lr"):
        assert [row[name] for row in rows] == pytest.approx(
            [1e-4, 1e-4 * 2 / 3, 1e-4 / 3, 0.0], abs=1e-12
        )
    assert procedure.updates == 4 * 2 * 2


def test_prompts_and_windows_go_on_where_the_last_iteration_stopped_after_a_restart_too(
    tmp_path: Path,
) -> None:
    terms = {"ptx": PtxConfig(coef=1.0, ratio=1.0, window=8)}
    first, second = ppo(tmp_path, terms=terms), ppo(tmp_path, terms=terms)
    for index in range(2):
        first.step(index)
    second.load_state_dict(first.state_dict())
    for index in range(2, 4):
        second.step(index)
    drawn = [
        p.id
        for procedure in (first, second)
        for rollout, _ in procedure.context.seen  # type: ignore[attr-defined]
        for p in rollout.prompts
    ]
    assert drawn == [PROMPTS[i].id for i in draw_order(10, 0, 32, 1, "ppo", "prompts")]
    # All, before any again.
    assert [sorted(drawn[i : i + 10]) for i in (0, 10, 20)] == [sorted(p.id for p in PROMPTS)] * 3
    assert second.terms["ptx"].state_dict() == {"drawn": 32}  # a window an episode


def test_each_iteration_draws_other_noise(tmp_path: Path) -> None:
    still = OptimizerConfig(lr=0.0)
    context = FakeContext(tmp_path, PROMPTS[:1], reward=FunctionReward(noise_reward(0)))
    procedure = training.ppo(
        PPOConfig(episodes=16, batch=8, minibatch=8, policy=still, value=still), context
    )
    for index in range(2):
        procedure.step(index)
    first, second = (rollout.texts for rollout, _ in context.seen)
    assert first != second  # one prompt, one policy: only the noise differs
    assert len(set(first)) > 1


def test_after_a_restart_the_reference_is_the_policy_that_ppo_started_from(tmp_path: Path) -> None:
    first, second = ppo(tmp_path), ppo(tmp_path)
    start = copied(first.policy.module.state_dict())
    first.step(0)
    assert first.networks.reference is not None
    state = first.state_dict()
    assert "reference" not in state
    second.load_state_dict(state)
    assert second.networks.reference is not None
    assert largest_difference(second.networks.reference.module.state_dict(), start) == 0
    assert largest_difference(second.policy.module.state_dict(), start) > 1e-3
    assert second.step(1)["objective/kl"] != 0


def test_the_reward_model_is_never_trained_although_the_value_network_starts_as_its_copy(
    tmp_path: Path,
) -> None:
    network = FakeContext(tmp_path).policy("base").scalar_model(torch.Generator().manual_seed(5))
    context = FakeContext(tmp_path, PROMPTS, network=network)
    context._reward = NetworkReward(network, context.runtime)
    constant = OptimizerConfig(lr=1e-2, schedule=Schedule.constant)
    procedure = training.ppo(
        PPOConfig(episodes=32, batch=8, minibatch=4, policy=constant, value=constant), context
    )
    before = copied(network.module.state_dict())
    for index in range(2):
        procedure.step(index)
    assert largest_difference(network.module.state_dict(), before) == 0
    assert procedure.networks.value is not None
    assert largest_difference(procedure.networks.value.module.state_dict(), before) > 1e-3
    assert not any(p.requires_grad for p in network.module.parameters())
