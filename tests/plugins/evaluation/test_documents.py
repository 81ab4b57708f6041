"""Accuracy and loss on pretraining documents against values worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from preflab.interfaces import Policy, Sampling, Subject
from preflab.records import Document, Prompt, Rollout
from preflab.responders import PolicyResponder
from preflab_builtin.evaluation import config as c
from preflab_builtin.evaluation.documents import (
    DocumentLoss,
    FamilyAccuracy,
    answered,
    by_family,
    probe,
)
from preflab_builtin.evaluation.forward import document_nll
from support import WORDS, FakeContext


def _subject(context: FakeContext, policy: Policy) -> Subject:
    responder = PolicyResponder(policy, context.rollout())
    return Subject(responder, Rollout.from_tokens(context.tokenizer, [], [], []), None, None)


def test_document_loss_is_the_mean_over_tokens(tmp_path: Path) -> None:
    texts = ["one plus two", "red is good please thanks", "one"]
    context = FakeContext(tmp_path, [Document(t, t, "f", "test") for t in texts], micro_batch=2)
    policy = context.policy("base")
    sums, counts = document_nll(policy, texts, 100, context.runtime)
    evaluator = DocumentLoss(c.DocumentLossConfig(), context)
    loss = evaluator.evaluate(_subject(context, policy)).measures["document_loss/all"]
    assert loss.value == pytest.approx(sum(sums) / sum(counts), rel=1e-12)
    assert loss.n == 3


def test_questions_are_asked_after_the_evaluators_own_prefix(tmp_path: Path) -> None:
    """The prefix of the evaluation is for prompts, and documents are none."""
    documents = [Document("d", "one plus two equals three", "f", "test", 20)]
    context = FakeContext(tmp_path, documents)
    asked: list[str] = []

    class Engine:
        sampling = Sampling(4)

        def generate(
            self, policy: Policy, prompts: Sequence[Prompt], *_: Any, **__: Any
        ) -> Rollout:
            asked.extend(prompt.text for prompt in prompts)
            return Rollout.from_texts(context.tokenizer, prompts, ["three"] * len(prompts))

    for prefix in ("", "good "):
        evaluator = FamilyAccuracy(c.FamiliesConfig(prefix=prefix), context)
        evaluator.engine = Engine()
        subject = replace(_subject(context, context.policy("base")), prefix="bad ")
        found = evaluator.evaluate(subject)
        assert found.measures["families/mean"].value == 1.0
        assert found.cases["families/mean"] == {"d": 1.0}
    assert asked == ["one plus two equals ", "good one plus two equals "]


def test_a_probe_is_a_question_and_the_tokens_of_its_answer(tmp_path: Path) -> None:
    tokenizer = FakeContext(tmp_path).tokenizer
    text = "one plus two equals three"
    question = probe(Document("d", text, "f", "test", text.index("three")), tokenizer)
    assert question is not None
    assert question.prompt.text == "one plus two equals "
    assert list(question.answer) == tokenizer.encode("three")
    assert probe(Document("d", text), tokenizer) is None
    assert probe(Document("d", text, answer_start=len(text)), tokenizer) is None


def test_a_space_in_the_first_token_of_the_answer_moves_there() -> None:
    class SpaceJoiner:
        """Joins a space to the word after it, as byte-pair tokenizers do; a final space is a token
        of its own."""

        words = ("a", " b", " c", " ")

        def encode(self, text: str) -> list[int]:
            ids = []
            while text:
                word = next(w for w in self.words if text.startswith(w))
                ids.append(self.words.index(word))
                text = text[len(word) :]
            return ids

        def encode_prompt(self, prompt: Prompt) -> list[int]:
            return self.encode(prompt.text)

    document = Document("d", "a b c", answer_start=4)
    question = probe(document, SpaceJoiner())  # type: ignore[arg-type]
    assert question is not None
    assert (question.prompt.text, question.answer) == ("a b", (2,))


def test_equal_documents_count_once_and_families_are_limited() -> None:
    documents = [Document(str(i), "one" if i < 5 else WORDS[i], "f", "test") for i in range(10)]
    documents.append(Document("g", "one", "g", "test"))
    for most, sizes in ((100, {"f": 6, "g": 1}), (3, {"f": 3, "g": 1})):
        families = by_family(documents, most)
        assert {name: len(group) for name, group in families.items()} == sizes


@pytest.mark.slow
def test_families_score_a_policy_that_knows_the_answers(tmp_path: Path) -> None:
    """A policy trained on the documents answers them, a fresh one does not."""
    texts = [f"{WORDS[i]} plus one equals {WORDS[i + 1]} ." for i in range(5)]
    documents = [Document(t, t, "sum", "test", t.index("equals ") + 7) for t in texts]
    documents += [
        Document(f"{w} is red", f"{w} is red", "colour", "test", len(w) + 4) for w in WORDS[:3]
    ]
    context = FakeContext(tmp_path, documents)
    policy = context.policy("base")
    evaluator, subject = FamilyAccuracy(c.FamiliesConfig(), context), _subject(context, policy)
    assert evaluator.evaluate(subject).measures["families/mean"].value < 0.5
    optimizer = torch.optim.Adam(policy.module.parameters(), lr=1e-2)
    for _ in range(60):
        for text in {d.text for d in documents}:
            ids = torch.tensor([[*context.tokenizer.encode(text), context.tokenizer.eos_id]])
            loss: torch.Tensor = cross_entropy(policy.module(ids).logits[0, :-1], ids[0, 1:])
            torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    measures = evaluator.evaluate(subject).measures
    assert {name: m.n for name, m in measures.items()} == {
        "families/sum": 5,
        "families/colour": 3,
        "families/mean": 8,
    }
    assert measures["families/mean"].value == 1.0
    # One sum of five wrong: the mean of families is (4/5 + 3/3) / 2 = .9. In it a sum has the
    # weight 8 / (2 * 5), a colour 8 / (2 * 3).
    wrong = evaluator.probes["sum"][0]
    evaluator.probes["sum"][0] = replace(wrong, answer=wrong.answer[::-1])
    mixed = evaluator.evaluate(subject)
    assert mixed.measures["families/mean"].value == pytest.approx(0.9)
    assert mixed.cases["families/sum"] == {
        p.prompt.id: float(p.prompt.id != wrong.prompt.id) for p in evaluator.probes["sum"]
    }
    weights = mixed.cases["families/mean"]
    assert sorted(set(weights.values())) == pytest.approx([0.0, 0.8, 8 / 6])
    assert sum(weights.values()) / 8 == pytest.approx(0.9)


def test_answers_are_compared_over_their_own_length(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    policy = context.policy("base")
    long = context.rollout().generate(
        policy, [Prompt("q", "one plus")], Sampling(6, temperature=0.0), ("x",)
    )
    ids = long.response_ids[0, : int(long.response_lengths[0])].tolist()
    assert len(ids) >= 4
    base = probe(Document("d", "one plus two", answer_start=9), context.tokenizer)
    assert base is not None
    cases = [
        replace(base, prompt=Prompt("q", "one plus"), answer=tuple(ids[:n])) for n in (1, 2, 3, 4)
    ]
    wrong = replace(cases[2], answer=(*ids[:2], (ids[2] + 1) % 20))
    assert answered(policy, context.rollout(), [*cases, wrong]) == [True, True, True, True, False]
