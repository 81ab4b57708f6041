"""Before an iteration's first step every ratio is 1 within 1e-5, or the run stops and says which forward pass differs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from end_to_end.runs import preflab
from preflab.errors import NumericError
from preflab.optimization import OptimizerConfig
from preflab.records import Prompt
from preflab_builtin.ppo.config import PPOConfig
from preflab_builtin.ppo.training import PPO
from preflab_builtin.rewards.functions import TextReward, noise_reward
from support import WORDS, FakeContext, largest_difference

PROMPTS = [Prompt(f"p{i}", " ".join(WORDS[: 1 + (3 * i) % 7]), split="train") for i in range(12)]
Forward = Callable[..., torch.Tensor]


def ppo(folder: Path) -> PPO:
    fast = OptimizerConfig(lr=3e-3)
    config = PPOConfig(episodes=24, batch=8, minibatch=4, epochs=2, policy=fast, value=fast)
    return PPO(
        config, FakeContext(folder, PROMPTS, micro_batch=3, reward=TextReward(noise_reward(0)))
    )


def with_forward(procedure: PPO, changed: Callable[[Forward], Forward]) -> None:
    """The policy's forward pass, replaced; sampling has one of its own and is left as it is."""
    setattr(procedure.policy, "hidden_at", changed(procedure.policy.hidden_at))  # noqa: B010


def noisy(plain: Forward) -> Forward:
    """Other numbers each time."""
    generator = torch.Generator().manual_seed(0)

    def hidden_at(*batch: object, **options: object) -> torch.Tensor:
        found = plain(*batch, **options)
        return found + 0.01 * torch.randn(found.shape, generator=generator)

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


def test_weights_that_change_between_rollout_and_update_are_noticed_in_every_iteration(
    tmp_path: Path,
) -> None:
    # An observer that trains: as after an update that the rollout's log-probs do not know.
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
        match=r"iteration 1: .*Both forward passes agree now, but not with what the rollout kept",
    ):
        procedure.step(1)


def test_where_it_is_1_the_run_goes_on_and_later_ratios_are_free(tmp_path: Path) -> None:
    procedure = ppo(tmp_path)
    rows = [procedure.step(index) for index in range(procedure.total_steps)]
    assert procedure.updates == 3 * 2 * 2
    assert all(
        row["policy/approxkl_avg"] > 1e-6 for row in rows
    )  # the second minibatch of each is off 1


def test_a_run_that_is_stopped_by_it_ends_with_exit_code_5(tmp_path: Path) -> None:
    plugin = tmp_path / "dropout.py"
    plugin.write_text(
        "import torch\nfrom preflab import hookimpl\n\n\n@hookimpl\ndef preflab_stage_started(stage):\n"
        "    if stage == 'algorithm':\n        from preflab_builtin.causal_lm.models import CausalPolicy\n"
        "        plain = CausalPolicy.hidden_at\n"
        "        CausalPolicy.hidden_at = lambda *batch, **names: plain(*batch, **names) + 0.1 * torch.is_grad_enabled()\n"
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
