"""Mistakes that public implementations of these algorithms made, one test each: that we do not make
them. The names of the threads are in the docstrings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.functional import masked_sum
from preflab.likelihood import response_log_probs
from preflab.records import Prompt, Ranking, Rollout
from preflab.rewards import FunctionReward
from preflab.storage import checkpoints
from preflab.testing.case import chosen
from preflab_builtin.group.config import Baseline, Credit, GroupConfig, GroupKLConfig, Place, Scale
from preflab_builtin.on_policy.config import Aggregate, KLEstimator
from preflab_builtin.on_policy.rules import denominator, kl_loss, token_weights
from preflab_builtin.preference.config import PreferenceConfig
from preflab_builtin.preference.training import Preference
from preflab_builtin.reward_model.scoring import NetworkReward
from support import WORDS, FakeContext, cpu_runtime, gradients, largest_difference
from tiny_on_policy import tiny
from tiny_ppo import capture_experience, recorded


def moved(module: torch.nn.Module) -> None:
    """Change every weight a little, so that the policy is not its reference."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))


def test_the_kl_in_the_loss_has_the_gradient_of_the_kl_off_policy_too() -> None:
    """k3 and k1 in a loss without the ratio have another gradient (NeMo RL PR #2506, TRL PR #4638,
    #4967 and #6503, OpenRLHF PR #1309, open-instruct #534). Over all 4 outcomes, drawn from an
    older policy."""
    generator = torch.Generator().manual_seed(1)
    logits, before, other = torch.randn(3, 1, 4, generator=generator, dtype=torch.float64)
    logits.requires_grad_()
    new, old, reference = (x.log_softmax(-1) for x in (logits, before, other))
    exact = (new.exp() * (new - reference)).sum()
    (wanted,) = torch.autograd.grad(exact, logits, retain_graph=True)
    mask = torch.ones_like(new, dtype=torch.bool)
    found = {}
    for estimator in KLEstimator:
        loss = (old.exp() * kl_loss(new, old, reference, mask, estimator)).sum()
        found[estimator] = torch.autograd.grad(loss, logits, retain_graph=True)[0]
    torch.testing.assert_close(found[KLEstimator.weighted_k3], wanted, rtol=1e-12, atol=1e-12)
    assert float((found[KLEstimator.k3] - wanted).abs().max()) > 0.01


def test_the_kl_in_the_reward_is_the_plain_log_ratio(tmp_path: Path) -> None:
    """ "RLOO should use k3 as GRPO does" (TRL #5889, PR #6096): in a reward only k1 is right."""
    procedure = tiny("group", tmp_path, baseline=Baseline.none, kl=GroupKLConfig(coef=0.5))
    moved(procedure.policy.module)
    kept = capture_experience(procedure)
    procedure.step(0)
    (batch,) = kept
    reference = procedure.networks.reference
    assert reference is not None
    with torch.no_grad():
        theirs = response_log_probs(reference, batch.rollout)
    k1 = masked_sum_of_rows(batch.log_probs - theirs, batch.mask)
    assert float(k1.min()) < 0 < float(k1.max())  # k2 and k3 are never negative
    torch.testing.assert_close(batch.advantages[:, 0], batch.scores - 0.5 * k1, rtol=0, atol=1e-5)


def masked_sum_of_rows(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.where(mask, values, torch.zeros_like(values)).sum(-1)


def test_the_kl_in_the_loss_has_a_gradient_and_the_loss_s_own_mean(tmp_path: Path) -> None:
    """It was added outside the masked mean (open-instruct PR #535) and without a gradient (#530).
    All scores are equal, so that nothing else has a gradient."""
    procedure = tiny(
        "group",
        tmp_path,
        reward=FunctionReward(lambda prompt, text: 1.0),
        minibatch=16,
        aggregate=Aggregate.sequence,
        kl=GroupKLConfig(coef=0.3, place=Place.loss, estimator=KLEstimator.k2),
    )
    moved(procedure.policy.module)
    policy, reference = procedure.policy.copy(), procedure.networks.reference
    assert reference is not None
    policy.module.requires_grad_(True)
    kept, taken = capture_experience(procedure), recorded(procedure)
    procedure.step(0)
    rollout = kept[0].rollout
    with torch.no_grad():
        theirs = response_log_probs(reference, rollout)
    log_ratio = response_log_probs(policy, rollout) - theirs
    rows = masked_sum_of_rows(0.5 * log_ratio**2, rollout.response_mask)
    torch.autograd.backward(0.3 * (rows / rollout.response_lengths).mean())
    wanted = {f"policy.{k}": g for k, g in gradients(policy.module).items()}
    assert largest_difference(taken[0], wanted) < 1e-6
    assert max(float(g.abs().max()) for g in wanted.values()) > 1e-4


@pytest.mark.parametrize(
    "aggregate, short, long",
    [
        # What a token of a response of 1 and one of a response of 3 weigh; 5 are the most.
        (Aggregate.token, 1 / 4, 1 / 4),
        (Aggregate.sequence, 1 / 2, 1 / 6),
        (Aggregate.constant, 1 / 10, 1 / 10),
        (Aggregate.response, 1 / 2, 1 / 2),
    ],
)
def test_four_means_have_four_names(aggregate: Aggregate, short: float, long: float) -> None:
    """Length bias, three aggregations called the same (TRL PR #3138, #3256, #4988; verl #593;
    understand-r1-zero #11; open-instruct #636)."""
    mask = torch.tensor([[True, False, False], [True, True, True]])
    weights = token_weights(mask, aggregate) / denominator(mask, aggregate, 5)
    assert weights[0].tolist() == pytest.approx([short, 0, 0])
    assert weights[1].tolist() == pytest.approx([long] * 3)


@pytest.mark.parametrize("aggregate", list(Aggregate))
def test_no_denominator_depends_on_micro_batches(aggregate: Aggregate, tmp_path: Path) -> None:
    """Denominators of micro-batches, accumulation and generation batches (TRL #3021, #5619, PR
    #6024 and #3231; ms-swift #10117; open-instruct PR #1161)."""
    found = []
    for micro_batch in (64, 3, 1):
        procedure = tiny(
            "group",
            tmp_path,
            micro_batch,
            aggregate=aggregate,
            kl=GroupKLConfig(coef=0.3, place=Place.loss),
        )
        taken = recorded(procedure)
        procedure.step(0)
        found.append(taken)
    assert len(found[0]) == 2
    assert max(float(g.abs().max()) for g in found[0][0].values()) > 1e-3
    for others in found[1:]:
        for whole, pieces in zip(found[0], others, strict=True):
            assert largest_difference(whole, pieces) < 1e-5


RANKINGS = [
    Ranking(
        Prompt(f"p{i}", " ".join(WORDS[: 1 + i % 4]), split="train"),
        (" ".join(WORDS[i : i + 2]), "bad"),
        ((0, 1),),
    )
    for i in range(6)
]


def test_a_pair_has_one_end_token_and_prompt_and_response_are_read_apart(tmp_path: Path) -> None:
    """Two end tokens; prompt and response tokenised together and cut apart, so that the border
    moves (TRL #4481, PR #4908, #1679; unsloth #3228)."""
    context = FakeContext(tmp_path, RANKINGS)
    training, tokenizer = Preference(PreferenceConfig(), context), context.tokenizer
    for pair in training.pairs:
        assert list(pair.prompt) == tokenizer.encode_prompt(pair.ranking.prompt)
        for ids, text in zip(pair.responses, pair.ranking.responses, strict=True):
            assert list(ids) == [*tokenizer.encode(f" {text}"), tokenizer.eos_id]
            assert ids.count(tokenizer.eos_id) == 1


def test_the_reference_is_that_of_the_start_after_a_resume_too(tmp_path: Path) -> None:
    """Reference log-probs cached from the trained policy, with dropout, or advancing the global
    random stream (TRL PR #6443, #5542, #7083)."""
    config = PreferenceConfig(batch=2, epochs=2)
    first = Preference(config, FakeContext(tmp_path, RANKINGS))
    before = torch.get_rng_state()
    wanted = first._reference_log_probs()
    assert torch.equal(wanted, first._reference_log_probs())  # no dropout
    assert torch.equal(before, torch.get_rng_state())
    for i in range(3):
        first.step(i)
    assert not torch.allclose(first._reference_log_probs(), wanted)  # it has been trained
    folder = checkpoints.save(tmp_path / "state", 3, {"procedure": first.state_dict()})
    second = Preference(config, FakeContext(tmp_path, RANKINGS))
    second.load_state_dict(checkpoints.load(folder)[1]["procedure"])
    second.step(3)
    assert second.reference is not None
    assert torch.equal(second.reference, wanted)


def test_an_end_token_in_the_prompt_is_not_the_end_of_the_response(tmp_path: Path) -> None:
    """The score was read at the first pad, which was an end token inside the prompt, and the
    penalty looked into the prompt (TRL PR #6952, #6805)."""
    context = FakeContext(tmp_path)
    policy, tokenizer = context.policy("base"), context.tokenizer
    end, pad = tokenizer.eos_id, tokenizer.pad_id
    model = policy.scalar_model(torch.Generator().manual_seed(0))
    words = tokenizer.encode("red blue one")
    asked = [[words[0], end, pad, words[1]], [words[2]]]
    answered = [[words[1], words[0]], [words[0], end]]  # the first is cut
    prompts = [Prompt("a", "?"), Prompt("b", "?")]
    rows = Rollout.from_tokens(tokenizer, prompts, asked, answered)
    assert rows.terminated.tolist() == [False, True]
    reward = NetworkReward(model, cpu_runtime())
    found, alone = reward.score(rows), []
    for question, ids, answer in zip(prompts, asked, answered, strict=True):
        alone.append(reward.score(Rollout.from_tokens(tokenizer, [question], [ids], [answer])))
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-5, atol=1e-6)
    other = Rollout.from_tokens(tokenizer, prompts, asked, [[words[1], words[2]], answered[1]])
    changed = reward.score(other)
    assert changed[0] != found[0]  # the last token is read


def test_reinforce_pp_is_normalised_over_the_batch(tmp_path: Path) -> None:
    """REINFORCE++ without its normalisation (OpenRLHF #924, #830)."""
    preset: Any = chosen("algorithm", "group", ["algorithm=reinforce_pp"]).config
    assert isinstance(preset, GroupConfig)
    assert (preset.scale, preset.credit) == (Scale.batch, Credit.token)
    procedure = tiny(
        "group",
        tmp_path,
        samples=1,
        baseline=preset.baseline,
        scale=preset.scale,
        credit=preset.credit,
        aggregate=preset.aggregate,
    )
    kept = capture_experience(procedure)
    procedure.step(0)
    (batch,) = kept
    tokens = batch.advantages[batch.mask]
    assert float(tokens.mean()) == pytest.approx(0, abs=1e-5)
    assert float(tokens.var(correction=0)) == pytest.approx(1, rel=1e-4)
    assert float(masked_sum(batch.advantages, ~batch.mask)) == 0
