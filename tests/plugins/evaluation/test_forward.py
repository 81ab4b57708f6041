"""Log-probabilities and scores of many rows against one row at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from preflab.interfaces import Policy
from preflab.records import Prompt, Rollout
from preflab_builtin.evaluation.forward import batched_log_probs, document_nll
from support import FakeContext


class SixPositions:
    """A policy with fewer positions."""

    max_positions = 6

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __getattr__(self, name: str) -> Any:
        return getattr(self.policy, name)


def test_log_probs_equal_those_of_one_row_at_a_time(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, micro_batch=2)
    policy = context.policy("base")
    prompts = [Prompt("a", "one"), Prompt("b", "one plus two plus two"), Prompt("c", "red is")]
    rollout = Rollout.from_texts(context.tokenizer, prompts, ["good good good", "bad", "one plus"])
    log_probs = batched_log_probs(policy, rollout, 0.5, context.runtime)
    for i, (prompt, text) in enumerate(zip(prompts, rollout.texts, strict=True)):
        head = context.tokenizer.encode(prompt.text)
        ids = torch.tensor([[*head, *context.tokenizer.encode(text), context.tokenizer.eos_id]])
        logits = policy.module(ids).logits[0, len(head) - 1 : -1] / 0.5
        expected = logits.log_softmax(-1).gather(-1, ids[0, len(head) :, None])[:, 0]
        assert torch.allclose(log_probs[i, : len(expected)], expected, atol=1e-5)
        assert bool((log_probs[i, len(expected) :] == 0).all())


def test_document_nll_is_the_sum_over_predicted_tokens(tmp_path: Path) -> None:
    texts = ["one plus two", "red is good please thanks", "one"]
    context = FakeContext(tmp_path, micro_batch=2)
    policy = context.policy("base")
    sums, counts = document_nll(policy, texts, 100, context.runtime)
    expected = []
    for text in texts:
        ids = torch.tensor([[*context.tokenizer.encode(text), context.tokenizer.eos_id]])
        logits = policy.module(ids).logits[0, :-1]
        expected.append(float(cross_entropy(logits, ids[0, 1:], reduction="sum").detach()))
    assert sums == pytest.approx(expected, rel=1e-5)
    assert counts == [3, 5, 1]  # 3 words + end token, less the first; and so on
    cut, fewer = document_nll(policy, texts, 3, context.runtime)
    assert fewer == [2, 2, 1]
    assert cut[1] < sums[1]


def test_after_a_prefix_the_same_tokens_of_a_document_count(tmp_path: Path) -> None:
    """Of "good good red is ." the two words in front and the document's first are not counted."""
    context = FakeContext(tmp_path)
    policy, encode = context.policy("base"), context.tokenizer.encode
    texts = ["red is", "one plus two equals"]
    sums, counts = document_nll(policy, texts, 4, context.runtime, "good good ")
    assert counts == [2, 3]  # of five tokens at most four, less the first
    for text, total, count in zip(texts, sums, counts, strict=True):
        ids = torch.tensor([[*encode(f"good good {text}"), context.tokenizer.eos_id][: 3 + count]])
        logits = policy.module(ids).logits[0, 2:-1]
        expected = float(cross_entropy(logits, ids[0, 3:], reduction="sum").detach())
        assert total == pytest.approx(expected, rel=1e-5)
    few: Any = SixPositions(policy)
    assert document_nll(few, texts, 100, context.runtime, "good good ")[1] == [2, 3]  # 6 - 2 - 1
