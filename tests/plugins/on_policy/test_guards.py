"""What stops PPO before a wrong number trains. Before an iteration's first step every ratio is 1
within 1e-5, or the run stops and says which forward pass does not repeat."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from end_to_end.runs import preflab
from preflab.errors import NumericError
from preflab.optimization import OptimizerConfig
from preflab.records import Prompt, Rollout
from preflab.rewards import FunctionReward
from preflab_builtin.on_policy.experience import Experience
from preflab_builtin.on_policy.guards import (
    kl_problem,
    require_finite_experience,
    require_finite_scores,
)
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.ppo import training
from preflab_builtin.ppo.config import PPOConfig
from preflab_builtin.rewards.functions import noise_reward
from support import WORDS, FakeContext, largest_difference

PROMPTS = [Prompt(f"p{i}", " ".join(WORDS[: 1 + (3 * i) % 7]), split="train") for i in range(12)]
Forward = Callable[..., torch.Tensor]


def experience(folder: Path, log_ratio: torch.Tensor) -> Experience:
    """B responses of R tokens with this log-ratio [B, R]; everything else is zero."""
    b, r = log_ratio.shape
    tokenizer = FakeContext(folder).tokenizer
    rollout = Rollout.from_tokens(tokenizer, PROMPTS[:b], [[3]] * b, [[5] * r] * b)
    zeros = torch.zeros(b, r)
    mask = torch.ones(b, r, dtype=torch.bool)
    return Experience(rollout, mask, torch.zeros(b), zeros, log_ratio, zeros, zeros, zeros, zeros)


def ppo(folder: Path) -> OnPolicy:
    fast = OptimizerConfig(lr=3e-3)
    config = PPOConfig(episodes=24, batch=8, minibatch=4, epochs=2, policy=fast, value=fast)
    return training.ppo(
        config, FakeContext(folder, PROMPTS, micro_batch=3, reward=FunctionReward(noise_reward(0)))
    )


def with_forward(procedure: OnPolicy, changed: Callable[[Forward], Forward]) -> None:
    """Replace the policy's forward pass; sampling has its own and is not changed."""
    setattr(procedure.policy, "hidden_at", changed(procedure.policy.hidden_at))  # noqa: B010


def noisy(plain: Forward) -> Forward:
    """Different numbers each time."""
    generator = torch.Generator().manual_seed(0)

    def hidden_at(*batch: object, **options: object) -> torch.Tensor:
        hidden = plain(*batch, **options)
        return hidden + 0.01 * torch.randn(hidden.shape, generator=generator)

    return hidden_at


def other_in_training(plain: Forward) -> Forward:
    """As with a dropout that is on only where gradients are wanted."""

    def hidden_at(*batch: object, **options: object) -> torch.Tensor:
        return plain(*batch, **options) * (0.99 if torch.is_grad_enabled() else 1.0)

    return hidden_at


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        (noisy, "Neither the forward pass after the rollout nor the one of training repeats"),
        (
            other_in_training,
            "The forward pass after the rollout repeats, the one of training gives other numbers",
        ),
    ],
)
def test_the_pass_that_differs_is_named_and_no_weight_is_changed(
    changed: Callable[[Forward], Forward], cause: str, tmp_path: Path
) -> None:
    procedure = ppo(tmp_path)
    before = {name: value.clone() for name, value in procedure.policy.module.state_dict().items()}
    with_forward(procedure, changed)
    with pytest.raises(
        NumericError,
        match=rf"iteration 0: .* off 1 by .*; at most 1e-05 .*{cause} \(most for prompt 'p\d+'\)",
    ):
        procedure.step(0)
    assert largest_difference(before, procedure.policy.module.state_dict()) == 0


def test_changed_weights_are_noticed_in_every_iteration(
    tmp_path: Path,
) -> None:
    # As if an observer trained the policy between the rollout and the update.
    procedure = ppo(tmp_path)
    procedure.step(0)
    update = procedure._update

    def meddling(*arguments: object) -> dict[str, float]:
        with torch.no_grad():
            procedure.policy.module.get_parameter("model.norm.weight").mul_(1.1)
        return update(*arguments)  # type: ignore[arg-type]

    setattr(procedure, "_update", meddling)  # noqa: B010
    with pytest.raises(
        NumericError,
        match=r"iteration 1: .*Both forward passes agree now, but not with the stored one",
    ):
        procedure.step(1)


def test_later_ratios_need_not_be_1(tmp_path: Path) -> None:
    procedure = ppo(tmp_path)
    rows = [procedure.step(index) for index in range(procedure.total_steps)]
    assert procedure.updates == 3 * 2 * 2
    # The second minibatch of each is off 1.
    assert all(row["policy/approxkl_avg"] > 1e-6 for row in rows)


@pytest.mark.slow
def test_a_run_that_is_stopped_ends_with_exit_code_5(tmp_path: Path) -> None:
    plugin = tmp_path / "dropout.py"
    plugin.write_text(
        "import torch\nfrom preflab import hookimpl\n\n\n@hookimpl\ndef "
        "preflab_stage_started(stage):\n    if stage == 'algorithm':\n        from "
        "preflab_builtin.causal_lm.models import CausalPolicy\n        plain = "
        "CausalPolicy.hidden_at\n        CausalPolicy.hidden_at = lambda *batch, **names: "
        "plain(*batch, **names) + 0.1 * torch.is_grad_enabled()\n"
    )
    words = (
        "reward_model=noise",
        "sft=none",
        "algorithm=ppo",
        "evaluation=none",
        "debug=fast",
        "policy.layers=1",
    )
    assert preflab(tmp_path, "--plugin", str(plugin), *words) == 5
    log = (tmp_path / "log.txt").read_text()
    assert "the one of training gives other numbers" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_first_prompt_with_a_bad_number_is_named(bad: float, tmp_path: Path) -> None:
    whole = experience(tmp_path, torch.zeros(4, 3))
    require_finite_experience("ppo", whole)
    require_finite_scores("ppo", whole.scores, whole.rollout)
    for name in ("scores", "log_probs", "log_ratio", "values", "advantages"):
        values = getattr(whole, name).clone()
        values.view(4, -1)[2:, -1] = bad
        message = f"the {name.replace('_', '-')} of prompt 'p2' are not finite"
        with pytest.raises(NumericError, match=message):
            require_finite_experience("ppo", replace(whole, **{name: values}))
    with pytest.raises(NumericError, match=rf"scores of prompt 'p1' are not finite \({bad}\)"):
        require_finite_scores("ppo", torch.tensor([0.0, bad, 0.0, bad]), whole.rollout)


def test_a_kl_is_out_of_bounds_above_the_limit_and_clearly_below_0(tmp_path: Path) -> None:
    kl = torch.tensor([1.0, 2.0, 3.0, 2.0])  # per response: mean 2, standard error 0.35
    above = experience(tmp_path, kl[:, None] / 2 * torch.ones(4, 2))
    assert kl_problem(above, None) == kl_problem(above, 2.0) == ""
    assert kl_problem(above, 1.9).startswith("2 nats per episode, above kl.limit=1.9")
    assert "so far below 0" in kl_problem(experience(tmp_path, -kl[:, None]), None)
    spread = torch.tensor([-9.0, 1.0, 3.0, 1.0])  # mean -1, standard error 2.4: chance
    assert kl_problem(experience(tmp_path, spread[:, None]), None) == ""
