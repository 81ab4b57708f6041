"""Log-probabilities, entropies and values of responses: those of bare rows, zero elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from preflab.likelihood import (
    response_log_probs,
    response_log_probs_and_entropies,
    response_values,
)
from preflab.records import Prompt, Rollout
from support import WORDS, FakeContext

RESPONSES = ("red blue please", "bad", "thanks thanks red bad")


@pytest.fixture
def context(tmp_path: Path) -> FakeContext:
    return FakeContext(tmp_path)


def rows(context: FakeContext) -> Rollout:
    """Prompts and responses of different lengths, each response with its end token."""
    tokenizer = context.tokenizer
    prompts = [Prompt(f"p{i}", " ".join(WORDS[: 1 + 2 * i])) for i in range(len(RESPONSES))]
    questions = [tokenizer.encode(prompt.text) for prompt in prompts]
    answers = [[*tokenizer.encode(text), tokenizer.eos_id] for text in RESPONSES]
    return Rollout.from_tokens(tokenizer, prompts, questions, answers)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_log_probs_and_entropies_are_those_of_bare_rows(
    context: FakeContext, temperature: float
) -> None:
    policy, batch = context.policy("base"), rows(context)
    found, entropies = response_log_probs_and_entropies(policy, batch, temperature)
    assert response_log_probs(policy, batch, temperature).equal(found)
    for i, (question, answer) in enumerate(batch.tokens()):
        ids = torch.tensor([question + answer])
        logits = policy.module(ids, attention_mask=torch.ones_like(ids)).logits[0].double()
        density = (logits[len(question) - 1 : -1] / temperature).log_softmax(-1)
        expected = density.gather(-1, torch.tensor(answer)[:, None])[:, 0]
        n = len(answer)
        torch.testing.assert_close(found[i, :n].double(), expected, atol=1e-5, rtol=0)
        entropy = -(density.exp() * density).sum(-1)
        torch.testing.assert_close(entropies[i, :n].double(), entropy, atol=1e-5, rtol=0)
        assert not found[i, n:].any()
        assert not entropies[i, n:].any()


def test_values_stand_before_each_token_less_the_offset(context: FakeContext) -> None:
    model = context.policy("base").scalar_model(torch.Generator().manual_seed(0))
    batch = rows(context)
    plain = response_values(model, batch)
    model.offset = 0.25
    mask = batch.response_mask
    torch.testing.assert_close(response_values(model, batch)[mask], plain[mask] - 0.25)
    assert not response_values(model, batch)[~mask].any()
