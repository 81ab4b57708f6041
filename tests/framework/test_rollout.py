"""What an engine says of its draws stays with their rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from preflab.records import Prompt, Rollout
from support import FakeContext

PROMPTS = [Prompt("a", "one"), Prompt("b", "two plus")]
SAID = [[-0.5, -1.0, -2.0], [-0.25]]


@pytest.fixture
def rollout(tmp_path: Path) -> Rollout:
    tokenizer = FakeContext(tmp_path).tokenizer
    prompts = [tokenizer.encode(prompt.text) for prompt in PROMPTS]
    answers = [tokenizer.encode("one two three"), [tokenizer.eos_id]]
    return Rollout.from_tokens(tokenizer, PROMPTS, prompts, answers, log_probs=SAID, weights="v")


def test_log_probs_are_padded_with_zeros(rollout: Rollout) -> None:
    assert rollout.log_probs is not None
    assert rollout.log_probs.dtype is torch.float32
    assert rollout.log_probs.tolist() == [[-0.5, -1.0, -2.0], [-0.25, 0.0, 0.0]]
    assert rollout.drawn_by() == SAID


def test_rows_keep_theirs(rollout: Rollout) -> None:
    short = rollout.rows([1])
    assert short.log_probs is not None
    assert (short.log_probs.tolist(), short.weights) == ([[-0.25]], "v")
    assert rollout.rows([1, 0]).drawn_by() == SAID[::-1]


def test_given_responses_say_nothing(tmp_path: Path) -> None:
    given = Rollout.from_texts(FakeContext(tmp_path).tokenizer, PROMPTS, ["one", "two"])
    assert (given.log_probs, given.weights, given.drawn_by()) == (None, "", None)
    assert given.rows([0]).log_probs is None
