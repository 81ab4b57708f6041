"""PPO on a dozen prompts with a tiny policy, and what its tests look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from preflab.interfaces import RewardModel, ScalarModel
from preflab.optimization import OptimizerConfig, Schedule
from preflab.options import problems
from preflab.records import Document, Prompt
from preflab.rewards import FunctionReward
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.on_policy.experience import Experience
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.ppo import training
from preflab_builtin.ppo.config import PPOConfig
from preflab_builtin.rewards.functions import noise_reward
from preflab_builtin.rollouts.config import NativeConfig
from preflab_builtin.rollouts.native import NativeEngine
from support import WORDS, FakeContext, cpu_runtime, gradients

PROMPTS = [
    Prompt(f"p{i}", " ".join(WORDS[(i + j) % 20] for j in range(1 + (3 * i) % 7)), split="train")
    for i in range(12)
]
DOCUMENTS = [
    Document(f"d{i}", " ".join(WORDS[(i + j * j) % 20] for j in range(9)), split="train")
    for i in range(10)
]


def config(**options: Any) -> PPOConfig:
    values: dict[str, Any] = {
        "episodes": 32,
        "batch": 8,
        "minibatch": 4,
        "kl": KLPenaltyConfig(coef=0.1),
        "policy": OptimizerConfig(lr=3e-3, schedule=Schedule.constant),
        "value": OptimizerConfig(lr=3e-3, schedule=Schedule.constant),
        **options,
    }
    assert not list(problems(PPOConfig(**values)))
    return PPOConfig(**values)


def ppo(
    folder: Path,
    micro_batch: int = 64,
    reward: RewardModel | None = None,
    temperature: float = 1.0,
    **options: Any,
) -> OnPolicy:
    engine = NativeEngine(NativeConfig(max_tokens=6, temperature=temperature), cpu_runtime())
    rewards = reward or FunctionReward(noise_reward(0))
    context = FakeContext(
        folder, [*PROMPTS, *DOCUMENTS], micro_batch=micro_batch, reward=rewards, engine=engine
    )
    return training.ppo(config(**options), context)


def steps(procedure: OnPolicy, first: int, last: int) -> list[dict[str, float]]:
    """Metrics of some iterations, but for the clock."""
    rows = [procedure.step(i) for i in range(first, last)]
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


def weights(procedure: OnPolicy) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{k}": v.clone()
        for name, module in procedure._trained().items()
        for k, v in module.state_dict().items()
    }


def value_network(procedure: OnPolicy) -> ScalarModel:
    """The value network, which PPO has."""
    assert procedure.networks.value is not None
    return procedure.networks.value


def recorded(procedure: OnPolicy) -> list[dict[str, torch.Tensor]]:
    """From now on: the gradients of both networks at each optimizer step, in place of the steps."""
    found: list[dict[str, torch.Tensor]] = []

    def note(name: str, module: torch.nn.Module) -> Any:
        def step(position: int) -> dict[str, float]:
            own = {f"{name}.{k}": g for k, g in gradients(module).items()}
            found.append(own) if name == "policy" else found[-1].update(own)
            module.zero_grad()
            return {}

        return step

    for name, module in procedure._trained().items():
        procedure.optimizations[name].step = note(name, module)  # type: ignore[method-assign]
    return found


def capture_experience(procedure: OnPolicy) -> list[Experience]:
    """From now on: what each iteration was trained on."""
    kept: list[Experience] = []
    update = procedure._update

    def noting(index: int, experience: Experience | None) -> dict[str, float]:
        assert experience is not None
        kept.append(experience)
        return update(index, experience)

    procedure._update = noting  # type: ignore[method-assign]
    return kept
