"""The entropy bonus: its gradient by hand, and what it does to a run of PPO."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from preflab.errors import UserError
from preflab.records import Prompt, Ranking, Rollout
from preflab_builtin.entropy.config import EntropyConfig
from preflab_builtin.entropy.term import EntropyBonus
from preflab_builtin.preference.config import PreferenceConfig
from preflab_builtin.preference.training import Preference
from support import WORDS, FakeContext, gradients, largest_difference
from tiny_ppo import ppo, steps

PROMPTS = [Prompt(f"p{i}", " ".join(WORDS[: 1 + i])) for i in range(3)]


def test_the_gradient_is_that_of_the_mean_entropy_of_each_token(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, micro_batch=2)
    policy, other = context.policy("base"), context.policy("base")
    rollout = Rollout.from_texts(policy.tokenizer, PROMPTS, ["red", "red blue two", "one"])
    term = EntropyBonus(EntropyConfig(coef=0.5), context)
    term.see(rollout, 0.7)
    found = term.accumulate(policy, 0, 3)["loss/entropy"]
    # Row by row, token by token, from transformers' own logits.
    entropies = []
    for question, answer in rollout.tokens():
        ids = torch.tensor([question + answer])
        logits = other.module(ids, attention_mask=torch.ones_like(ids)).logits[0]
        log_probs = (logits[-len(answer) - 1 : -1] / 0.7).log_softmax(-1)
        entropies += [-(log_probs.exp() * log_probs).sum(-1)]
    mean = torch.cat(entropies).mean()
    torch.autograd.backward(-0.5 * mean)
    assert found == pytest.approx(-float(mean.detach()), rel=1e-5)
    assert largest_difference(gradients(policy.module), gradients(other.module)) < 1e-6


def test_ppo_with_it_is_another_run_and_without_it_the_same_bits(tmp_path: Path) -> None:
    plain, zero, bonus = (
        steps(
            ppo(tmp_path, terms={} if coef is None else {"bonus": EntropyConfig(coef=coef)}), 0, 3
        )
        for coef in (None, 0.0, 5.0)
    )
    assert plain == zero
    assert "loss/entropy" in bonus[0]
    assert bonus[2]["objective/entropy"] > plain[2]["objective/entropy"]


def test_an_algorithm_without_samples_refuses_it(tmp_path: Path) -> None:
    ranking = Ranking(Prompt("p", "one", split="train"), ("red", "bad"), ((0, 1),))
    config = PreferenceConfig(terms={"bonus": EntropyConfig()})
    with pytest.raises(UserError, match=r"algorithm\.terms\.bonus=null"):
        Preference(config, FakeContext(tmp_path, [ranking]))
