"""The sampling engine draws what it says: the softmax, row by row, whatever shares the batch."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from scipy.stats import chisquare

from preflab.errors import UserError
from preflab.interfaces import Sampling
from preflab.records import Prompt, Rollout
from preflab_builtin.causal_lm.config import Family, TinyConfig
from preflab_builtin.causal_lm.fast import projections
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.sources import TinySource
from preflab_builtin.rollouts import decoding
from preflab_builtin.rollouts.config import NativeConfig, TransformersConfig
from preflab_builtin.rollouts.generate import TransformersEngine, as_trained, generation_config
from preflab_builtin.rollouts.native import NativeEngine
from preflab_builtin.rollouts.sampling import row_noise
from support import WORDS, FakeContext, cpu_runtime

FAMILIES = [Family.llama, Family.gpt2]
PROMPTS = [
    Prompt(str(i), " ".join(WORDS[(i * 7 + j) % 20] for j in range(1 + i * 3 % 8)))
    for i in range(9)
]


def policy(family: Family = Family.llama, positions: int = 64) -> CausalPolicy:
    config = TinyConfig(family=family, layers=2, width=32, heads=2, max_positions=positions)
    model = TinySource(config, WORDS).create(torch.Generator().manual_seed(3))
    # Sharper than a new model, so that contexts matter and some responses end early.
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.mul_(4.0 if family is Family.llama else 1.8)
    return model


def engine(batch: int = 128) -> NativeEngine:
    return NativeEngine(NativeConfig(batch=batch), cpu_runtime())


def same(first: Rollout, second: Rollout) -> bool:
    parts = ("prompt_ids", "prompt_lengths", "response_ids", "response_lengths", "terminated")
    return first.texts == second.texts and all(
        torch.equal(getattr(first, p), getattr(second, p)) for p in parts
    )


def naive(model: CausalPolicy, prompt: str, noise: torch.Tensor, temperature: float) -> list[int]:
    """One row, one full transformers forward pass per token, the cumulative distribution added up
    in a loop."""
    ids, answer = model.tokenizer.encode(prompt), list[int]()
    for u in noise.tolist():
        with torch.no_grad():
            logits = model.module(torch.tensor([ids + answer])).logits[0, -1].double()
        probabilities, total, token = (logits / temperature).softmax(-1).tolist(), 0.0, 0
        for token, p in enumerate(probabilities):  # noqa: B007
            total += p
            if total > u:
                break
        answer.append(token)
        if token == model.tokenizer.eos_id:
            break
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize(
    "smallest",
    [projections.SMALLEST_MATRIX, 0],
    ids=["stored matrices", "reordered matrices"],
)
def test_equals_a_naive_loop_token_for_token(
    family: Family, temperature: float, smallest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "SMALLEST_MATRIX", smallest)
    model, sampling = policy(family), Sampling(max_tokens=12, temperature=temperature, samples=3)
    rollout = engine().generate(model, PROMPTS, sampling, (1, "test"))
    lengths = set()
    for row in range(len(rollout)):
        noise = row_noise((1, "test"), [row], 12)[0]
        expected = naive(model, PROMPTS[row // 3].text, noise, temperature)
        length = int(rollout.response_lengths[row])
        assert rollout.response_ids[row, :length].tolist() == expected
        assert bool(rollout.terminated[row]) == (expected[-1] == model.tokenizer.eos_id)
        lengths.add(length)
    assert len(lengths) > 2  # rows did end at different times


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "smallest",
    [projections.SMALLEST_MATRIX, 0],
    ids=["stored matrices", "reordered matrices"],
)
def test_batch_size_and_compaction_change_nothing(
    family: Family, smallest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "SMALLEST_MATRIX", smallest)
    model, sampling = policy(family), Sampling(max_tokens=16, samples=4)
    whole = engine(128).generate(model, PROMPTS, sampling, (2,))
    for batch in (1, 3, 8):
        assert same(engine(batch).generate(model, PROMPTS, sampling, (2,)), whole)
    for share in (0.0, 2.0):  # compact at every end; never
        monkeypatch.setattr(decoding, "COMPACT_AT", share)
        assert same(engine().generate(model, PROMPTS, sampling, (2,)), whole)


def test_each_rollout_uses_the_current_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    # Copies of matrices that outlive a rollout would be those of the old weights.
    monkeypatch.setattr(projections, "SMALLEST_MATRIX", 0)
    model, sampling = policy(), Sampling(max_tokens=12)
    before = engine().generate(model, PROMPTS, sampling, (1,))
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.mul_(-1.0)
    after = engine().generate(model, PROMPTS, sampling, (1,))
    assert not same(before, after)
    for row, (_, answer) in enumerate(after.tokens()):
        assert answer == naive(model, PROMPTS[row].text, row_noise((1,), [row], 12)[0], 1.0)


def test_rows_depend_on_seed_and_number_alone() -> None:
    model, sampling = policy(), Sampling(max_tokens=8)
    whole = engine().generate(model, PROMPTS, sampling, (1, "a", 0))
    changed = [*PROMPTS[:4], Prompt("other", "please please"), *PROMPTS[5:]]
    other = engine().generate(model, changed, sampling, (1, "a", 0))
    assert [other.texts[i] == whole.texts[i] for i in range(9)].count(False) <= 1
    assert same(engine().generate(model, PROMPTS, sampling, (1, "a", 0)), whole)
    assert not same(engine().generate(model, PROMPTS, sampling, (1, "a", 1)), whole)


def test_global_randomness_is_unchanged() -> None:
    before = torch.get_rng_state()
    rollout = engine().generate(policy(), PROMPTS, Sampling(max_tokens=4), (1,))
    assert torch.equal(before, torch.get_rng_state())
    assert not rollout.response_ids.is_inference()


def test_greedy_is_the_likeliest_token() -> None:
    model = policy()
    rollout = engine().generate(model, PROMPTS[:3], Sampling(max_tokens=6, temperature=0.0), (1,))
    for row in range(3):
        ids = model.tokenizer.encode(PROMPTS[row].text)
        for token in rollout.response_ids[row, : int(rollout.response_lengths[row])].tolist():
            assert token == int(model.module(torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)


def test_impossible_prompts_are_named() -> None:
    with pytest.raises(UserError, match="'empty' has no tokens"):
        engine().generate(policy(), [Prompt("empty", "  ")], Sampling(max_tokens=4), (1,))
    with pytest.raises(
        UserError, match=r"more than 4 tokens, the 8 positions .* rollout\.max_tokens=4: 'p' \(6"
    ):
        engine().generate(
            policy(Family.gpt2, positions=8),
            [Prompt("p", "red " * 6)],
            Sampling(max_tokens=4),
            (1,),
        )


def test_no_prompts_give_an_empty_rollout() -> None:
    assert len(engine().generate(policy(), [], Sampling(max_tokens=4), (1,))) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_engine_agrees_where_nothing_is_drawn(family: Family) -> None:
    model, greedy = policy(family), Sampling(max_tokens=10, temperature=0.0, samples=2)
    rollout = TransformersEngine(TransformersConfig(batch=4), cpu_runtime()).generate(
        model, PROMPTS, greedy, (1,)
    )
    assert same(rollout, engine().generate(model, PROMPTS, greedy, (1,)))


def test_transformers_engine_draws_from_the_whole_softmax() -> None:
    model = policy()
    with torch.no_grad():
        torch.nn.init.zeros_(model.module.get_input_embeddings().weight)  # uniform over 23 ids
    draws = TransformersEngine(TransformersConfig(batch=4000), cpu_runtime())
    prompts = [Prompt("p", "red")]
    rollout = draws.generate(model, prompts, Sampling(max_tokens=1, samples=4000), (1,))
    assert chisquare(rollout.response_ids[:, 0].bincount(minlength=23).numpy()).pvalue > 1e-3
    assert same(rollout, draws.generate(model, prompts, Sampling(max_tokens=1, samples=4000), (1,)))
    assert generation_config(model, Sampling(4)).top_k == 0


def test_transformers_engine_uses_float32_logits_in_autocast() -> None:
    """As training computes its log-probs: in bfloat16 a logit of 20 is only known to 1/8."""
    model, ids = policy(), torch.tensor([[3, 4, 5]])
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        with as_trained(model):
            exact = model.module(ids).logits
        rough = model.module(ids).logits
        expected = model.logits(model.module.base_model(ids).last_hidden_state)
    assert exact.dtype is torch.float32
    assert torch.equal(exact, expected)
    assert rough.dtype is torch.bfloat16  # outside nothing has changed


class Backwards(CausalPolicy):
    """A stranger's policy whose logits are not those of its head."""

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return -super().logits(hidden)


def test_transformers_engine_takes_the_logits_of_the_policy() -> None:
    """The likeliest token of the negated logits is the unlikeliest of the head's."""
    model, greedy = policy(), Sampling(max_tokens=6, temperature=0.0)
    stranger = copy.copy(model)
    stranger.__class__ = Backwards
    draws = TransformersEngine(TransformersConfig(), cpu_runtime())
    rollout = draws.generate(stranger, PROMPTS, greedy, (1,))
    assert not same(rollout, draws.generate(model, PROMPTS, greedy, (1,)))
    for (asked, answered), prompt in zip(rollout.tokens(), PROMPTS, strict=True):
        ids = torch.tensor([[*asked, *answered]])
        logits = stranger.logits(stranger.hidden(ids, torch.ones_like(ids, dtype=torch.bool)))
        first = len(asked) - 1
        assert logits[0, first:-1].argmax(-1).tolist() == answered, prompt


def test_transformers_engine_needs_an_unembedding(monkeypatch: pytest.MonkeyPatch) -> None:
    model = policy()
    monkeypatch.setattr(type(model.module), "get_output_embeddings", lambda self: None)
    draws = TransformersEngine(TransformersConfig(), cpu_runtime())
    with pytest.raises(UserError, match=r"names no unembedding.*Use rollout=native"):
        draws.generate(model, PROMPTS, Sampling(max_tokens=2), (1,))


def test_component_builds_with_its_setting(tmp_path: Path) -> None:
    built = FakeContext(tmp_path).rollout()
    assert built.sampling == Sampling(max_tokens=8, temperature=1.0, samples=1)
