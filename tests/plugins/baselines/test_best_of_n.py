"""Best-of-n keeps the highest reward of n samples, and none has nothing to do."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from preflab.functional import best_of_n_kl_bound
from preflab.interfaces import Sampling
from preflab.records import Prompt
from preflab.rewards import FunctionReward
from preflab_builtin.baselines.best_of_n import BestOfN
from preflab_builtin.rewards.functions import length_reward, noise_reward
from preflab_builtin.rollouts.config import NativeConfig
from preflab_builtin.rollouts.native import NativeEngine
from support import WORDS, FakeContext, builtin

PROMPTS = [Prompt(str(i), " ".join(WORDS[i : i + 1 + i % 3])) for i in range(6)]


def test_the_best_of_the_samples_is_kept(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, reward=FunctionReward(noise_reward(0)))
    component = builtin("algorithm", "best_of_n")
    assert component.build is not None
    assert component.procedure is None
    assert component.needs(component.config_class()) == ("reward_model",)
    responder = component.build(component.config_class(n=5), context)
    chosen = responder.respond(PROMPTS, (1, "test"))
    pool = context.rollout().generate(
        responder.policy, PROMPTS, Sampling(8, samples=5), (1, "test")
    )
    scores = context.reward_model().score(pool).reshape(6, 5)
    assert len(chosen) == 6
    assert chosen.prompts == tuple(PROMPTS)
    assert context.reward_model().score(chosen).tolist() == scores.max(1).values.tolist()
    assert len(set(scores.argmax(1).tolist())) > 1
    assert all(text in pool.texts[5 * i : 5 * i + 5] for i, text in enumerate(chosen.texts))


def test_the_first_of_equals_is_kept(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    flat = FunctionReward(lambda prompt, text: 1.0)
    responder = BestOfN(4, context.policy("initial"), context.rollout(), flat)
    pool = context.rollout().generate(
        responder.policy, PROMPTS, Sampling(8, samples=4), (1, "test")
    )
    assert list(responder.respond(PROMPTS, (1, "test")).texts) == [
        pool.texts[4 * i] for i in range(6)
    ]


def test_another_temperature_is_that_of_the_samples(tmp_path: Path) -> None:
    """At temperature 0 all n samples are the greedy one."""
    context = FakeContext(tmp_path, reward=FunctionReward(noise_reward(0)))
    policy, engine = context.policy("initial"), context.rollout()
    responder = BestOfN(4, policy, engine, context.reward_model())
    assert responder.temperature == engine.sampling.temperature
    greedy = responder.at_temperature(0.0)
    assert (greedy.n, greedy.temperature) == (4, 0.0)
    alone = engine.generate(policy, PROMPTS, Sampling(8, temperature=0.0), (1, "test"))
    assert greedy.respond(PROMPTS, (1, "test")).texts == alone.texts


def test_more_samples_reach_more(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    reward = FunctionReward(length_reward(2, 1.0))
    means = [
        float(
            reward.score(
                BestOfN(n, context.policy("initial"), context.rollout(), reward).respond(
                    PROMPTS, (1,)
                )
            ).mean()
        )
        for n in (1, 16)
    ]
    assert means[1] > means[0]


def test_the_bound_is_reached_by_a_reward_without_ties() -> None:
    # A fine uniform reward: the best of n has density n u^(n-1), whose KL to the uniform is log n
    # - (n-1)/n.
    n, cells = 4, 200_000
    edges = torch.linspace(0, 1, cells + 1, dtype=torch.float64)
    best = edges[1:] ** n - edges[:-1] ** n
    kl = float((best * (best * cells).log()).nansum())
    assert kl == pytest.approx(best_of_n_kl_bound(n), abs=1e-4)


def test_with_ties_it_is_only_an_upper_bound(tmp_path: Path) -> None:
    # A reward of 0 or 1, which a sample gets with probability p: the best of n has 1 with
    # probability q = 1 - (1 - p)^n, and within each value nothing is chosen. KL = q ln(q / p) +
    # (1 - q) ln((1 - q) / (1 - p)); p = .5, n = 4: q = 15/16, .4594.
    def divergence(p: float, n: int) -> float:
        q = 1 - (1 - p) ** n
        return q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))

    assert divergence(0.5, 4) == pytest.approx(0.4594, abs=1e-4)
    assert divergence(0.5, 4) < best_of_n_kl_bound(4)
    # The same of samples: one token a response; half of the 20 words are worth 1.
    context = FakeContext(tmp_path)
    policy, wanted = context.policy("initial"), set(WORDS[:10])
    ids = torch.tensor([context.tokenizer.encode("red")])
    with torch.no_grad():
        probabilities = policy.logits(policy.hidden(ids, torch.ones_like(ids, dtype=torch.bool)))[
            0, -1
        ].softmax(-1)
    p = float(probabilities[[context.tokenizer.encode(word)[0] for word in wanted]].sum())
    engine = NativeEngine(NativeConfig(max_tokens=1), context.runtime)
    responder = BestOfN(
        4, policy, engine, FunctionReward(lambda prompt, text: float(text in wanted))
    )
    texts = responder.respond([Prompt(str(i), "red") for i in range(1000)], (1, "test")).texts
    q = 1 - (1 - p) ** 4
    error = math.sqrt(q * (1 - q) / 1000)
    assert abs(sum(text in wanted for text in texts) / 1000 - q) < 4 * error


def test_none_is_no_stage_and_answers_with_the_initial_policy() -> None:
    component = builtin("algorithm", "none")
    assert component.procedure is None
    assert component.build is None
    assert tuple(component.needs(component.config_class())) == ()
