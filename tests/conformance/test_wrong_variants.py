"""Mistakes of public implementations: each test fails for the wrong variant. (Those of pure
arithmetic are pinned beside it: score after the end token, mean of means, k2 and k3 in
tests/framework/test_functional.py; `make mutants` plants them all.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

import preflab
from preflab.errors import UserError
from preflab.interfaces import Policy, Sampling
from preflab.records import Prompt, Rollout
from preflab.rewards import FunctionReward
from preflab_builtin.causal_lm.config import TinyConfig, TokenizerKind
from preflab_builtin.causal_lm.sources import TinySource
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.on_policy.experience import Experience, Networks, collect
from preflab_builtin.on_policy.gradients import accumulate
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.ppo import training
from preflab_builtin.ppo.config import AdvantageConfig, PPOConfig
from preflab_builtin.ppo.loss import estimated_advantages
from preflab_builtin.rewards.functions import noise_reward
from preflab_builtin.rollouts import decoding
from preflab_builtin.rollouts.config import NativeConfig, TransformersConfig
from preflab_builtin.rollouts.generate import TransformersEngine
from preflab_builtin.rollouts.native import NativeEngine
from support import WORDS, FakeContext, cpu_runtime

PROMPTS = [
    Prompt(f"p{i}", " ".join(WORDS[(i + j) % 20] for j in range(1 + (3 * i) % 7)), split="train")
    for i in range(16)
]


def sharpened(policy: Policy) -> Policy:
    """Weights of a fresh model are so small that a wrong position or temperature hardly shows."""
    with torch.no_grad():
        for parameter in policy.module.parameters():
            parameter.mul_(1.8)
    return policy


# --- the sampled density is the trained one ---


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_log_probs_at_sampling_time_are_those_that_training_sees(
    family: str, temperature: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing position ids, untempered log-probs, top-k in rollouts: each makes these two differ,
    and PPO's ratio is then not that of the sampled policy, although it starts at 1."""
    context = FakeContext(
        tmp_path, policy_config={"family": family, "max_positions": 64}, micro_batch=5
    )
    policy = sharpened(context.policy("initial"))
    drawn: list[torch.Tensor] = []
    draw: Callable[..., torch.Tensor] = decoding.__dict__["draw"]

    def noting(logits: torch.Tensor, noise: torch.Tensor, tau: float) -> torch.Tensor:
        tokens = draw(logits, noise, tau)
        drawn.append((logits.double() / tau).log_softmax(-1).gather(-1, tokens[:, None])[:, 0])
        return tokens

    monkeypatch.setattr(decoding, "draw", noting)
    # Rows keep their places, so that draws can be told apart.
    monkeypatch.setattr(decoding, "COMPACT_AT", 2.0)
    # The order in which the engine reads them.
    prompts = sorted(PROMPTS, key=lambda p: len(p.text.split()))
    rollout = NativeEngine(NativeConfig(), cpu_runtime()).generate(
        policy, prompts, Sampling(8, temperature), (1, "test")
    )
    sampled = torch.stack(drawn, dim=1)
    order = rollout.by_length()
    pieces = list(context.runtime.micro_batches(order))
    networks = Networks(policy, policy.copy(), policy.scalar_model(torch.Generator()))
    scores = torch.zeros(len(rollout))
    trained = collect(
        rollout,
        scores,
        networks,
        pieces,
        temperature,
        0.1,
        partial(estimated_advantages, settings=AdvantageConfig()),
        context.runtime,
    )
    assert len(set(rollout.prompt_lengths.tolist())) > 3
    assert len(set(rollout.response_lengths.tolist())) > 2
    n = rollout.response_ids.shape[1]
    torch.testing.assert_close(
        trained.log_probs[trained.mask].double(), sampled[:, :n][trained.mask], atol=1e-5, rtol=0
    )


def test_ppo_takes_the_log_probs_of_what_was_sampled(tmp_path: Path) -> None:
    """The run's temperature divides the logits of old, new and reference log-probs alike. With
    raw logits in all three the ratio would still start at 1, and nothing would show."""
    context = FakeContext(tmp_path, PROMPTS, reward=FunctionReward(noise_reward(0)))
    context._engine = NativeEngine(NativeConfig(max_tokens=6, temperature=0.5), cpu_runtime())
    procedure = training.ppo(
        PPOConfig(episodes=16, batch=16, minibatch=8, kl=KLPenaltyConfig(coef=0.1)), context
    )
    sharpened(procedure.policy)
    seen: list[Experience] = []

    def noting(index: int, experience: Experience | None) -> dict[str, float]:
        assert experience is not None
        seen.append(experience)
        return {}

    procedure._update = noting  # type: ignore[method-assign]
    procedure.step(0)
    (found,) = seen
    reference = procedure.networks.reference
    assert reference is not None
    for row, (question, answer) in enumerate(found.rollout.tokens()):
        expected = []
        for model in (procedure.policy, reference):
            ids, ahead = torch.tensor([question + answer]), torch.tensor(answer)[:, None]
            with torch.no_grad():
                logits = (
                    model.module(ids, attention_mask=torch.ones_like(ids))
                    .logits[0, -len(answer) - 1 : -1]
                    .double()
                )
            expected.append((logits / 0.5).log_softmax(-1).gather(-1, ahead)[:, 0])
        ours = found.log_probs[row, : len(answer)].double()
        torch.testing.assert_close(ours, expected[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(
            found.log_ratio[row, : len(answer)].double(),
            expected[0] - expected[1],
            atol=2e-5,
            rtol=0,
        )


@pytest.mark.parametrize("name", ["native", "transformers"])
def test_rollouts_reach_every_token(name: str) -> None:
    """transformers' generate keeps the 50 likeliest tokens unless told otherwise; here all 258
    are equally likely."""
    policy = TinySource(
        TinyConfig(layers=1, width=16, heads=1, tokenizer=TokenizerKind.bytes), None
    ).create(torch.Generator())
    torch.nn.init.zeros_(policy.module.get_input_embeddings().weight)
    engine = (
        NativeEngine(NativeConfig(), cpu_runtime())
        if name == "native"
        else TransformersEngine(TransformersConfig(batch=4000), cpu_runtime())
    )
    rollout = engine.generate(policy, [Prompt("p", "a")], Sampling(1, samples=4000), (1,))
    # 4,000 draws leave a token out with probability (1 - 1/258)^4000 = 2e-7.
    assert len(set(rollout.response_ids[:, 0].tolist())) == 258


@pytest.mark.parametrize(
    "key",
    ["rollout.top_k=50", "rollout.top_p=0.9", "algorithm.kl.estimator=k3", "algorithm.kl.kind=k2"],
)
def test_what_would_be_wrong_is_not_on_offer(key: str) -> None:
    with pytest.raises(UserError, match=rf"{key.split('=')[0]} is not an option"):
        preflab.compose([key])


# --- the end token and the pads ---


def ppo(folder: Path, pads: int | None = None) -> OnPolicy:
    """PPO whose rollouts have another id than the pad's on their pads, on both sides."""
    learned = {"family": "gpt2", "max_positions": 64}
    context = FakeContext(
        folder,
        PROMPTS,
        reward=FunctionReward(noise_reward(0)),
        micro_batch=3,
        policy_config=learned,
    )
    config = PPOConfig(episodes=16, batch=16, minibatch=8, epochs=2, kl=KLPenaltyConfig(coef=0.1))
    procedure = training.ppo(config, context)
    plain = procedure._rollout

    def other_pads(index: int) -> Rollout:
        rollout = plain(index)
        width = rollout.prompt_ids.shape[1]
        ids = (
            rollout.prompt_ids
            if pads is None
            else torch.where(rollout.mask[:, :width], rollout.prompt_ids, pads)
        )
        responses = (
            rollout.response_ids
            if pads is None
            else torch.where(rollout.response_mask, rollout.response_ids, pads)
        )
        return replace(rollout, prompt_ids=ids, response_ids=responses)

    procedure._rollout = other_pads  # type: ignore[method-assign]
    return procedure


def test_what_stands_on_pads_shows_in_no_metric_and_no_weight(tmp_path: Path) -> None:
    """Means over whole tensors let pads into approxkl, entropy and KL; a mask made from ids takes
    the end token out where pad and end token are one."""
    plain = ppo(tmp_path)
    expected = plain.step(0)
    tokenizer = plain.context.tokenizer
    for pads in (tokenizer.eos_id, 7):
        other = ppo(tmp_path, pads)
        found = other.step(0)
        timeless = {name: value for name, value in expected.items() if not name.startswith("time/")}
        assert {name: found[name] for name in timeless} == pytest.approx(
            timeless, rel=1e-4, abs=1e-5
        )
        for ours, theirs in zip(
            plain.policy.module.parameters(), other.policy.module.parameters(), strict=True
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_end_token_s_logit_is_trained_where_pads_look_like_it(tmp_path: Path) -> None:
    """Without it a policy never learns to stop."""
    procedure = ppo(tmp_path, FakeContext(tmp_path).tokenizer.eos_id)
    rollout = procedure._rollout(0)
    scores = torch.linspace(-1, 1, len(rollout))
    pieces = [[i] for i in range(len(rollout))]
    experience = collect(
        rollout,
        scores,
        procedure.networks,
        pieces,
        1.0,
        0.1,
        partial(estimated_advantages, settings=AdvantageConfig()),
        procedure.runtime,
    )
    seen: list[torch.Tensor] = []
    procedure.policy.fast = False  # type: ignore[attr-defined]  # the fast path never holds a gradient of logits
    logits = procedure.policy._logits  # type: ignore[attr-defined]

    def noting(hidden: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = logits(hidden)
        found.retain_grad()
        seen.append(found)
        return found

    procedure.policy._logits = noting  # type: ignore[attr-defined]
    ended = [
        i
        for i in range(len(rollout))
        if bool(rollout.terminated[i]) and int(rollout.response_lengths[i]) < 8
    ]
    cut = [i for i in range(len(rollout)) if not bool(rollout.terminated[i])]
    assert ended, "the draw must hold an ended response"
    assert cut, "and a longer one, so that there are pads"
    rows = [ended[0], cut[0]]
    accumulate(
        procedure.rules,
        procedure.networks,
        experience.rows(rows),
        1,
        1,
        0.1,
        1.0,
        procedure.runtime,
    )
    (found,) = seen
    assert found.grad is not None
    n = int(rollout.response_lengths[rows[0]])
    end = procedure.context.tokenizer.eos_id
    assert int(rollout.response_ids[rows[0], n]) == end  # a pad that looks like an end
    # No pad has logits, so none has a gradient.
    assert len(found) == n + int(rollout.response_lengths[rows[1]])
    assert float(found.grad[n - 1, end].abs()) > 1e-4
