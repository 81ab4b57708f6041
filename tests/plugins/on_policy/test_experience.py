"""What an update is made of: log-probs of the training forward pass, rewards on the right tokens,
guards."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from preflab.functional import gae, token_rewards, whiten
from preflab.interfaces import Sampling
from preflab.records import Prompt, Rollout
from preflab_builtin.on_policy.experience import (
    Experience,
    Networks,
    collect,
    explained_variance,
)
from preflab_builtin.ppo.config import AdvantageConfig
from preflab_builtin.ppo.loss import estimated_advantages
from support import WORDS, FakeContext

PROMPTS = [
    Prompt(str(i), " ".join(WORDS[(i + j) % 20] for j in range(1 + (3 * i) % 7))) for i in range(8)
]


class World:
    """A tiny policy that differs from its reference, a value network, and what it sampled."""

    def __init__(self, folder: Path, temperature: float = 1.0, family: str = "gpt2") -> None:
        self.context = FakeContext(folder, policy_config={"family": family, "max_positions": 64})
        self.reference = self.context.policy("initial")
        self.policy = self.context.policy("initial")
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in self.policy.module.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        self.value = self.reference.scalar_model(torch.Generator().manual_seed(1))
        self.temperature = temperature
        sampling = Sampling(max_tokens=8, temperature=temperature)
        self.rollout = self.context.rollout().generate(self.policy, PROMPTS, sampling, (1, "test"))
        self.scores = torch.linspace(-1, 1, len(PROMPTS))

    def collect(
        self,
        rollout: Rollout | None = None,
        size: int = 3,
        whitened: bool = True,
        scores: object = None,
    ) -> Experience:
        rollout = rollout or self.rollout
        order = rollout.by_length()
        pieces = [order[i : i + size] for i in range(0, len(order), size)]
        networks = Networks(self.policy, self.reference, self.value)
        given = self.scores if scores is None else scores
        assert isinstance(given, torch.Tensor)
        settings = partial(estimated_advantages, settings=AdvantageConfig(whiten=whitened))
        return collect(
            rollout, given, networks, pieces, self.temperature, 0.3, settings, self.context.runtime
        )


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_log_probs_are_those_of_each_row_alone_under_the_sampled_density(
    tmp_path: Path, temperature: float, family: str
) -> None:
    world = World(tmp_path, temperature, family)
    experience = world.collect()
    differing = 0.0
    for row in range(len(PROMPTS)):
        n = int(world.rollout.response_lengths[row])
        answer = world.rollout.response_ids[row, :n]
        ids = torch.cat([torch.tensor(world.context.tokenizer.encode(PROMPTS[row].text)), answer])[
            None
        ]
        found = {}
        for name, model in (("new", world.policy), ("reference", world.reference)):
            with torch.no_grad():
                logits = model.module(ids).logits[0, -n - 1 : -1].double()
            found[name] = (logits / temperature).log_softmax(-1).gather(-1, answer[:, None])[:, 0]
            plain = logits.log_softmax(-1).gather(-1, answer[:, None])[:, 0]
            differing = max(differing, float((plain - found[name]).abs().max()))
        torch.testing.assert_close(
            experience.log_probs[row, :n].double(), found["new"], atol=1e-5, rtol=0
        )
        ratio = found["new"] - found["reference"]
        torch.testing.assert_close(experience.log_ratio[row, :n].double(), ratio, atol=2e-5, rtol=0)
        with torch.no_grad():
            states = world.value.hidden(ids, torch.ones_like(ids, dtype=torch.bool))[0, -n - 1 : -1]
        assert experience.values is not None
        torch.testing.assert_close(
            experience.values[row, :n], world.value.values(states).detach(), atol=1e-5, rtol=0
        )
    assert (differing > 1e-2) == (temperature != 1)  # untempered densities would be noticed


def test_rewards_advantages_and_whitening_follow_from_them(tmp_path: Path) -> None:
    world = World(tmp_path)
    experience = world.collect()
    mask = world.rollout.response_mask
    assert torch.equal(experience.mask, mask)
    rewards = token_rewards(world.scores, experience.log_ratio, mask, 0.3)
    assert experience.values is not None
    advantages, returns = gae(rewards, experience.values, mask, 1.0, 0.95)
    torch.testing.assert_close(experience.returns, returns)
    torch.testing.assert_close(experience.advantages, whiten(advantages, mask))
    torch.testing.assert_close(world.collect(whitened=False).advantages, advantages)
    kept = experience.advantages[mask]
    assert float(kept.mean()) == pytest.approx(0, abs=1e-6)
    assert float(kept.var(unbiased=False)) == pytest.approx(1, rel=1e-4)


def test_the_end_token_is_an_action_and_pads_are_nothing_even_if_they_look_alike(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    eos = world.context.tokenizer.eos_id
    ended = [i for i in range(len(PROMPTS)) if bool(world.rollout.terminated[i])]
    assert ended, "the draw must hold an ended response"
    experience = world.collect()
    for i in ended:
        last = int(world.rollout.response_lengths[i]) - 1
        assert int(world.rollout.response_ids[i, last]) == eos
        assert bool(experience.mask[i, last])
        assert float(experience.advantages[i, last]) != 0
    # Every pad becomes the end token: lengths say what is real, so nothing moves.
    same = replace(
        world.rollout,
        response_ids=torch.where(world.rollout.response_mask, world.rollout.response_ids, eos),
    )
    again = world.collect(same)
    for name in ("log_probs", "log_ratio", "values", "advantages", "returns"):
        torch.testing.assert_close(
            getattr(again, name), getattr(experience, name), atol=1e-6, rtol=0
        )


def test_micro_batches_change_nothing_but_rounding(tmp_path: Path) -> None:
    world = World(tmp_path)
    whole, single = world.collect(size=8), world.collect(size=1)
    for name in ("log_probs", "log_ratio", "values", "entropies", "advantages", "returns"):
        torch.testing.assert_close(getattr(whole, name), getattr(single, name), atol=1e-4, rtol=0)


def test_explained_variance() -> None:
    returns = torch.tensor([[1.0, 3.0, 99.0]])
    mask = torch.tensor([[True, True, False]])
    assert explained_variance(torch.tensor([[1.0, 3.0, 0.0]]), returns, mask) == 1
    # A constant error leaves no variance.
    assert explained_variance(torch.tensor([[0.0, 2.0, 0.0]]), returns, mask) == 1
    # No better than a constant.
    assert explained_variance(torch.tensor([[5.0, 5.0, 0.0]]), returns, mask) == 0
    # errors 0 and 2: variance 1 of 1
    assert explained_variance(torch.tensor([[1.0, 1.0, 0.0]]), returns, mask) == 0
    # errors -2, 2: variance 4 of 1
    assert explained_variance(torch.tensor([[3.0, 1.0, 0.0]]), returns, mask) == -3
