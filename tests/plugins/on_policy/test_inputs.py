"""A KL reference apart from the start: a role, a model folder, or a run's newest policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from preflab import UserError
from preflab.options import problems
from preflab.records import Prompt
from preflab.rewards import FunctionReward
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.on_policy.inputs import inspect, preflight
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.ppo import training
from preflab_builtin.ppo.config import PPOConfig
from preflab_builtin.rewards.functions import noise_reward
from support import WORDS, FakeContext, largest_difference
from tiny_ppo import PROMPTS, config, steps, weights


def saved(folder: Path, seed: int, vocabulary: Sequence[str] = WORDS) -> Path:
    """The model folder of a policy that was drawn from a seed."""
    context = FakeContext(folder, initialisation=seed, vocabulary=vocabulary)
    context.policy("initial").save(folder / "model")
    return folder / "model"


def against(folder: Path, reference: str) -> PPOConfig:
    return config(kl=KLPenaltyConfig(coef=0.1, reference=reference), minibatch=8)


def ppo(folder: Path, reference: str) -> OnPolicy:
    context = FakeContext(folder, PROMPTS, reward=FunctionReward(noise_reward(0)))
    return training.ppo(against(folder, reference), context)


def test_the_start_by_its_folder_is_the_start(tmp_path: Path) -> None:
    folder = saved(tmp_path, 1)
    default, named = ppo(tmp_path, ""), ppo(tmp_path, str(folder))
    assert steps(default, 0, 2) == steps(named, 0, 2)
    assert largest_difference(weights(default), weights(named)) == 0


def test_the_kl_is_measured_against_another_policy(tmp_path: Path) -> None:
    other = ppo(tmp_path, str(saved(tmp_path, 2)))
    row = steps(other, 0, 1)[0]
    # Before the first update: the KL of two drawn policies, on samples of the first one.
    assert row["objective/kl"] > 0.01
    assert row["val/ratio"] == 1  # the ratio is to the policy itself


def test_the_recipe_has_its_content_and_not_its_path(tmp_path: Path) -> None:
    one, two = saved(tmp_path / "a", 1), saved(tmp_path / "b", 1)
    third = saved(tmp_path / "c", 2)
    found = [inspect(against(tmp_path, str(f))).content for f in (one, two, third)]
    assert found[0] == found[1] != found[2]
    roles = [inspect(against(tmp_path, role)).content for role in ("", "sft", "base")]
    assert len({*roles, *found}) == 5


def test_a_role_is_needed_before_any_work(tmp_path: Path) -> None:
    assert "own_policy:sft/epoch-1" in against(tmp_path, "sft/epoch-1").needs()
    for reference in ("", str(tmp_path)):
        assert not any("policy" in need for need in against(tmp_path, reference).needs())


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("result", "the policy that is being trained"),
        ("runs/nothing", "there is no such folder"),
        ("./nothing", "there is no such folder"),
    ],
)
def test_what_is_no_reference(reference: str, said: str) -> None:
    options = PPOConfig(kl=KLPenaltyConfig(reference=reference))
    ((key, message),) = problems(options)
    assert key == "kl.reference"
    assert said in message


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, 1, ("other", "words"))
    context = FakeContext(tmp_path, [Prompt("p", "one", split="train")])
    with pytest.raises(UserError, match=r"kl\.reference=.*has another tokenizer than the policy"):
        list(preflight(against(tmp_path, str(folder)), context))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json"):
        inspect(against(tmp_path, str(tmp_path)))


def test_the_reference_is_frozen(tmp_path: Path) -> None:
    procedure = ppo(tmp_path, str(saved(tmp_path, 2)))
    reference = procedure.networks.reference
    assert reference is not None
    before = {k: v.clone() for k, v in reference.module.state_dict().items()}
    steps(procedure, 0, 2)
    assert all(torch.equal(v, before[k]) for k, v in reference.module.state_dict().items())
