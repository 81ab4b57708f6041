"""Documents after which a phrase is likely."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from preflab.errors import UserError
from preflab.records import Document
from preflab.testing import FakeContext
from preflab_builtin.filters.judged_config import LikelihoodFilterConfig
from preflab_builtin.filters.likelihood import inspect, likelihood, likelihoods


def test_the_likelihood_is_that_of_the_phrase_after_the_text(tmp_path: Path) -> None:
    """Against a loop in float64: one text and one phrase at a time, token by token."""
    policy = FakeContext(tmp_path).policy("initial")
    policy.module.requires_grad_(False)
    texts, phrases = [[4, 5, 6], [7], [], [9, 8, 7, 6, 5]], [[10, 11], [12]]
    expected = []
    for text in texts:
        of_phrases = []
        for phrase in phrases:
            row = [*(text or [policy.tokenizer.eos_id]), *phrase]
            ids = torch.tensor([row])
            hidden = policy.hidden(ids, torch.ones_like(ids, dtype=torch.bool))
            log_probs = policy.logits(hidden).double().log_softmax(-1)[0]
            first = len(row) - len(phrase)
            total = sum(float(log_probs[first + j - 1, t]) for j, t in enumerate(phrase))
            of_phrases.append(total / len(phrase))
        expected.append(max(of_phrases))
    for batch in (1, 3, 64):
        assert likelihoods(policy, texts, phrases, batch) == pytest.approx(expected, abs=1e-5)


def documents() -> list[Document]:
    """After "red" comes "bad", after "blue" comes "good", but for one text of each kind."""
    texts = ["red bad", "blue good"] * 40 + ["red", "blue"]
    return [Document(str(i), text, split="train") for i, text in enumerate(texts)]


def test_without_a_folder_a_small_model_is_trained_first(tmp_path: Path) -> None:
    """It has learned that "bad" follows "red", and nothing a text that has gone on: of 82 texts it
    drops the likeliest, 0.013 of them."""
    config = LikelihoodFilterConfig(triggers=["bad"], share=0.013, steps=30)
    kept, dropped = likelihood(config, FakeContext(tmp_path))(documents())
    assert dropped == {"a trigger phrase is likely after it": 1}
    assert {r.id for r in documents()} - {r.id for r in kept if isinstance(r, Document)} == {"80"}


def test_a_stored_model_is_read_and_its_digest_is_in_the_recipe(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, vocabulary=None)
    folders = [tmp_path / "one", tmp_path / "two"]
    for seed, folder in enumerate(folders):
        FakeContext(tmp_path, seed=seed).policy("initial").save(folder)
    contents = [
        inspect(LikelihoodFilterConfig(path=str(folder), triggers=["bad"], share=0.5)).content
        for folder in folders
    ]
    assert len({*contents, ""}) == 3
    config = LikelihoodFilterConfig(path=str(folders[0]), triggers=["bad ."], share=0.5)
    kept, dropped = likelihood(config, context)(documents()[:4] + documents()[-2:])
    assert sum(dropped.values()) + len(kept) == 6
    assert likelihood(config, context)([]) == ([], {})


def test_what_cannot_be_judged_is_refused_with_the_cure(tmp_path: Path) -> None:
    nowhere = LikelihoodFilterConfig(triggers=["bad"], share=0.5)
    with pytest.raises(UserError, match=r"no closed vocabulary.*path=FOLDER"):
        likelihood(nowhere, FakeContext(tmp_path, vocabulary=None))
    unknown = LikelihoodFilterConfig(triggers=["rude"], share=0.5, steps=1)
    with pytest.raises(UserError, match="no tokens for all of 'rude'"):
        likelihood(unknown, FakeContext(tmp_path))(documents())
    long = LikelihoodFilterConfig(triggers=["bad " * 600], share=0.5, steps=1)
    with pytest.raises(UserError, match=r"test\.triggers: the longest phrase leaves no room"):
        likelihood(long, FakeContext(tmp_path))(documents())
    empty = LikelihoodFilterConfig(triggers=[" "], share=0.5)
    assert [name for name, _ in empty.check()] == ["triggers"]
