"""The arithmetic of the evaluators against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from preflab.engine.context import PolicyResponder
from preflab.errors import UserError
from preflab.interfaces import Policy, Sampling, Subject
from preflab.records import Document, Prompt, Ranking, Rollout
from preflab_builtin.evaluation import config as c
from preflab_builtin.evaluation.documents import (
    DocumentLoss,
    FamilyAccuracy,
    answered,
    by_family,
    probe,
)
from preflab_builtin.evaluation.forward import batched_log_probs, document_nll, scores
from preflab_builtin.evaluation.judges import preferred
from preflab_builtin.evaluation.responses import ReferenceKL
from preflab_builtin.evaluation.reward_accuracy import RewardAccuracy
from support import WORDS, FakeContext


def _subject(context: FakeContext, policy: Policy, prompts: Sequence[Prompt] = ()) -> Subject:
    responder = PolicyResponder(policy, context.rollout())
    rollout = (
        responder.respond(list(prompts), ("test",))
        if prompts
        else Rollout.from_tokens(context.tokenizer, [], [], [])
    )
    return Subject(responder, rollout, None, context.policy("initial"))


def _moved(policy: Policy, size: float) -> Policy:
    moved = policy.copy()
    with torch.no_grad():
        for i, parameter in enumerate(moved.module.parameters()):
            parameter.add_(
                size * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
            )
    return moved


# --- likelihood --------------------------------------------------------------------------------------------------


def test_response_log_probs_equal_one_row_at_a_time_without_padding(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, micro_batch=2)
    policy = context.policy("base")
    prompts = [Prompt("a", "one"), Prompt("b", "one plus two plus two"), Prompt("c", "red is")]
    rollout = Rollout.from_texts(context.tokenizer, prompts, ["good good good", "bad", "one plus"])
    found = batched_log_probs(policy, rollout, 0.5, context.runtime)
    for i, (prompt, text) in enumerate(zip(prompts, rollout.texts, strict=True)):
        head = context.tokenizer.encode(prompt.text)
        ids = torch.tensor([[*head, *context.tokenizer.encode(text), context.tokenizer.eos_id]])
        logits = policy.module(ids).logits[0, len(head) - 1 : -1] / 0.5
        expected = logits.log_softmax(-1).gather(-1, ids[0, len(head) :, None])[:, 0]
        assert torch.allclose(found[i, : len(expected)], expected, atol=1e-5)
        assert bool((found[i, len(expected) :] == 0).all())


def test_document_loss_is_the_mean_over_tokens(tmp_path: Path) -> None:
    texts = ["one plus two", "red is good please thanks", "one"]
    context = FakeContext(tmp_path, [Document(t, t, "f", "test") for t in texts], micro_batch=2)
    policy = context.policy("base")
    sums, counts = document_nll(policy, texts, 100, context.runtime)
    expected = []
    for text in texts:
        ids = torch.tensor([[*context.tokenizer.encode(text), context.tokenizer.eos_id]])
        expected.append(
            float(
                cross_entropy(
                    policy.module(ids).logits[0, :-1], ids[0, 1:], reduction="sum"
                ).detach()
            )
        )
    assert sums == pytest.approx(expected, rel=1e-5)
    assert counts == [3, 5, 1]  # 3 words + end token, less the first; and so on
    found = (
        DocumentLoss(c.DocumentLossConfig(), context).evaluate(_subject(context, policy)).measures
    )
    assert found["document_loss/all"].value == pytest.approx(sum(expected) / 9, rel=1e-5)
    cut, fewer = document_nll(policy, texts, 3, context.runtime)
    assert fewer == [2, 2, 1]
    assert cut[1] < sums[1]


def test_scores_come_back_in_the_order_of_the_rows(tmp_path: Path) -> None:
    class Echo:
        def score(self, rollout: Rollout) -> torch.Tensor:
            return torch.tensor([float(p.id) for p in rollout.prompts])

    context = FakeContext(tmp_path, micro_batch=2)
    prompts = [Prompt(str(i), " ".join(WORDS[: 5 - i])) for i in range(5)]
    rollout = Rollout.from_texts(context.tokenizer, prompts, ["good"] * 5)
    assert scores(Echo(), rollout, context.runtime) == [0, 1, 2, 3, 4]


def test_kl_is_the_mean_log_ratio_of_whole_responses(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    moved = _moved(context.policy("base"), 0.2)
    subject = _subject(context, moved, [Prompt(str(i), WORDS[i]) for i in range(5)])
    found = ReferenceKL(c.KLConfig(), context).evaluate(subject)
    assert subject.reference is not None
    own = batched_log_probs(moved, subject.rollout, 1.0, context.runtime)
    reference = batched_log_probs(subject.reference, subject.rollout, 1.0, context.runtime)
    assert found.measures["kl/reference"].value == pytest.approx(
        float((own - reference).sum(-1).mean()), rel=1e-5
    )
    assert found.measures["kl/reference"].n == 5


def test_kl_estimates_the_exact_divergence(tmp_path: Path) -> None:
    # One-token responses: KL = sum over the vocabulary of pi (log pi - log ref), known exactly
    context = FakeContext(tmp_path)
    policy, reference = _moved(context.policy("base"), 0.5), context.policy("initial")
    prompts = [Prompt(str(i), "one plus") for i in range(800)]
    rollout = context.rollout().generate(policy, prompts, Sampling(1), ("kl",))
    ids = torch.tensor([context.tokenizer.encode("one plus")])
    log_p = policy.module(ids).logits[0, -1].log_softmax(-1)
    log_q = reference.module(ids).logits[0, -1].log_softmax(-1)
    exact = float((log_p.exp() * (log_p - log_q)).sum().detach())
    measure = (
        ReferenceKL(c.KLConfig(), context)
        .evaluate(Subject(context.responder("base"), rollout, None, reference))
        .measures
    )
    assert measure["kl/reference"].value == 0.0  # the responder's own policy is the reference here
    responder = PolicyResponder(policy, context.rollout())
    estimate = (
        ReferenceKL(c.KLConfig(), context)
        .evaluate(Subject(responder, rollout, None, reference))
        .measures["kl/reference"]
    )
    assert estimate.low - 0.02 < exact < estimate.high + 0.02
    assert exact > 0.05  # else the test would say nothing


# --- judges ------------------------------------------------------------------------------------------------------


def test_ties_count_half() -> None:
    assert preferred([1.0, 2.0, 0.0], [1.0, 1.0, 1.0]) == [0.5, 1.0, 0.0]


# --- documents ---------------------------------------------------------------------------------------------------


def test_a_probe_is_the_text_before_the_answer_and_the_tokens_after_it(tmp_path: Path) -> None:
    tokenizer = FakeContext(tmp_path).tokenizer
    text = "one plus two equals three"
    found = probe(Document("d", text, "f", "test", text.index("three")), tokenizer)
    assert found is not None
    assert found.prompt.text == "one plus two equals "
    assert list(found.answer) == tokenizer.encode("three")
    assert probe(Document("d", text), tokenizer) is None
    assert probe(Document("d", text, answer_start=len(text)), tokenizer) is None


def test_a_space_that_belongs_to_the_answers_token_moves_there() -> None:
    class SpaceJoiner:
        """Joins a space to the word after it, as byte-pair tokenizers do; a final space is a token of its own."""

        words = ("a", " b", " c", " ")

        def encode(self, text: str) -> list[int]:
            ids = []
            while text:
                word = next(w for w in self.words if text.startswith(w))
                ids.append(self.words.index(word))
                text = text[len(word) :]
            return ids

    found = probe(Document("d", "a b c", answer_start=4), SpaceJoiner())  # type: ignore[arg-type]
    assert found is not None
    assert (found.prompt.text, found.answer) == ("a b", (2,))


def test_equal_documents_count_once_and_families_are_limited() -> None:
    documents = [Document(str(i), "one" if i < 5 else WORDS[i], "f", "test") for i in range(10)]
    documents.append(Document("g", "one", "g", "test"))
    found = by_family(documents, 100)
    assert {name: len(group) for name, group in found.items()} == {"f": 6, "g": 1}
    assert {name: len(group) for name, group in by_family(documents, 3).items()} == {"f": 3, "g": 1}


def test_families_score_a_policy_that_knows_the_answers(tmp_path: Path) -> None:
    """A policy trained on the documents answers them, a fresh one does not."""
    texts = [f"{WORDS[i]} plus one equals {WORDS[i + 1]} ." for i in range(5)]
    documents = [Document(t, t, "sum", "test", t.index("equals ") + 7) for t in texts]
    documents += [
        Document(f"{w} is red", f"{w} is red", "colour", "test", len(w) + 4) for w in WORDS[:3]
    ]
    context = FakeContext(tmp_path, documents)
    policy = context.policy("base")
    fresh = FamilyAccuracy(c.FamiliesConfig(), context).evaluate(_subject(context, policy)).measures
    optimizer = torch.optim.Adam(policy.module.parameters(), lr=1e-2)
    for _ in range(60):
        for text in {d.text for d in documents}:
            ids = torch.tensor([[*context.tokenizer.encode(text), context.tokenizer.eos_id]])
            loss: torch.Tensor = cross_entropy(policy.module(ids).logits[0, :-1], ids[0, 1:])
            torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    found = FamilyAccuracy(c.FamiliesConfig(), context).evaluate(_subject(context, policy)).measures
    assert {name: m.n for name, m in found.items()} == {
        "families/sum": 5,
        "families/colour": 3,
        "families/mean": 8,
    }
    assert found["families/mean"].value == 1.0
    assert fresh["families/mean"].value < 0.5
    # One sum of five wrong: the mean of families is (4/5 + 3/3) / 2 = .9. In it a sum weighs 8 / (2 * 5), a colour 8 / (2 * 3).
    evaluator = FamilyAccuracy(c.FamiliesConfig(), context)
    wrong = evaluator.probes["sum"][0]
    evaluator.probes["sum"][0] = replace(wrong, answer=wrong.answer[::-1])
    mixed = evaluator.evaluate(_subject(context, policy))
    assert mixed.measures["families/mean"].value == pytest.approx(0.9)
    assert mixed.cases["families/sum"] == {
        p.prompt.id: float(p.prompt.id != wrong.prompt.id) for p in evaluator.probes["sum"]
    }
    weights = mixed.cases["families/mean"]
    assert sorted(set(weights.values())) == pytest.approx([0.0, 0.8, 8 / 6])
    assert sum(weights.values()) / 8 == pytest.approx(0.9)


def test_answers_of_different_lengths_are_judged_by_their_own_length(tmp_path: Path) -> None:
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


# --- reward accuracy ---------------------------------------------------------------------------------------------


class Lookup:
    """Scores by a table of texts."""

    def __init__(self, table: dict[str, float]) -> None:
        self.table = table

    def score(self, rollout: Rollout) -> torch.Tensor:
        return torch.tensor([self.table[text] for text in rollout.texts])


def _accuracy(
    folder: Path, rankings: Sequence[Ranking], table: dict[str, float], **options: Any
) -> dict[str, Any]:
    context = FakeContext(folder, rankings, reward=Lookup(table))
    found = RewardAccuracy(c.RewardAccuracyConfig(**options), context).evaluate(
        _subject(context, context.policy("base"))
    )
    return {
        name.removeprefix("reward_accuracy/proxy/").removeprefix("calibration/proxy/"): m
        for name, m in found.measures.items()
    }


def test_reward_accuracy_by_hand(tmp_path: Path) -> None:
    a, b = Prompt("a", "one", split="test", group="g"), Prompt("b", "two", split="test", group="g")
    rankings = [
        Ranking(
            a, ("good", "bad", "good good good"), ((0, 1), (0, 1), (2, 0)), group="x"
        ),  # two votes for (0, 1)
        Ranking(b, ("red", "good"), ((0, 1),), group="y"),
    ]
    table = {"good": 1.0, "bad": 0.0, "good good good": 2.0, "red": 1.0}
    found = _accuracy(tmp_path, rankings, table, by_group=True)
    # model: (good > bad) twice, (good good good > good), red = good is a tie, which is wrong: 3 of 4
    assert (found["all"].value, found["all"].n) == (0.75, 2)
    # length with end tokens 2, 2, 4, 2: tie, tie, longer preferred, tie: (0.5 + 0.5 + 1 + 0.5) / 4
    assert found["length"].value == 0.625
    assert found["difference"].value == 0.125
    # |log(4 / 2)| = 0.69 leaves the third pair out: model 2 of 3, length all ties
    assert found["matched"].value == pytest.approx(2 / 3)
    assert found["matched_length"].value == 0.5
    assert found["group/x"].value == 1.0
    assert found["group/y"].value == 0.0
    # differences 1, 1, 1, 0: three times -log sigma(1) = 0.3133 and log 2; sigma(1) - 1 = -0.2689 three times and a tie's 0
    assert found["loss"].value == pytest.approx((3 * 0.313262 + math.log(2)) / 4, abs=1e-5)
    assert found["overconfidence"].value == pytest.approx(-3 * 0.268941 / 4, abs=1e-5)
    assert _accuracy(tmp_path, rankings, table, unit=c.Unit.group)["all"].n == 1


def test_rankings_are_of_the_test_split_or_where_it_has_none_of_validation(tmp_path: Path) -> None:
    # The model is right on the test pair and wrong on the validation pair: which one was asked shows in the accuracy.
    kept = [Ranking(Prompt("v", "one", split="validation"), ("good", "bad"), ((1, 0),))]
    table = {"good": 1.0, "bad": 0.0}
    assert _accuracy(tmp_path, kept, table)["all"].value == 0.0
    both = [*kept, Ranking(Prompt("t", "two", split="test"), ("good", "bad"), ((0, 1),))]
    assert _accuracy(tmp_path, both, table)["all"].value == 1.0
    assert _accuracy(tmp_path, both, table, split=c.HeldOut.validation)["all"].value == 0.0
    with pytest.raises(UserError, match="no test or validation rankings"):
        _accuracy(
            tmp_path,
            [Ranking(Prompt("x", "one", split="train"), ("good", "bad"), ((0, 1),))],
            table,
        )
    with pytest.raises(UserError, match="no test rankings"):
        _accuracy(tmp_path, kept, table, split=c.HeldOut.test)


def test_a_reward_model_that_exaggerates_is_overconfident_and_one_that_knows_its_doubt_is_calibrated(
    tmp_path: Path,
) -> None:
    # Of 4 votes on each pair 3 prefer the first. Rewards log 3 apart say sigma(log 3) = 0.75, which is right on average; ten
    # apart they say 1.0, a quarter too much.
    votes = ((0, 1), (0, 1), (0, 1), (1, 0))
    rankings = [
        Ranking(Prompt(str(i), "one", split="test"), ("good", "bad"), votes) for i in range(20)
    ]
    calibrated = _accuracy(tmp_path, rankings, {"good": math.log(3), "bad": 0.0})
    assert calibrated["overconfidence"].value == pytest.approx(0.0, abs=1e-6)
    # the entropy of a 3 : 1 vote is the smallest loss that there is: 0.75 log(4/3) + 0.25 log 4
    assert calibrated["loss"].value == pytest.approx(
        0.75 * math.log(4 / 3) + 0.25 * math.log(4), abs=1e-6
    )
    assert _accuracy(tmp_path, rankings, {"good": 10.0, "bad": 0.0})[
        "overconfidence"
    ].value == pytest.approx(0.25, abs=1e-4)


def test_a_length_counting_reward_model_does_not_beat_the_length_baseline(tmp_path: Path) -> None:
    texts = ["good", "good good", "good good good"]
    rankings = [
        Ranking(Prompt(str(i), "one", split="test"), tuple(texts), ((2, 1), (0, 2)))
        for i in range(20)
    ]
    found = _accuracy(tmp_path, rankings, {t: float(len(t)) for t in texts})
    assert found["all"].value == found["length"].value == 0.5
    assert (found["difference"].value, found["difference"].low, found["difference"].high) == (
        0.0,
        0.0,
        0.0,
    )
    assert math.isnan(found["matched"].value)  # no pair of similar length
