"""Steered decoding: the formula against a loop, and what it samples."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from preflab.errors import UserError
from preflab.interfaces import Subject
from preflab.records import Document, Prompt
from preflab.testing import FakeContext
from preflab_builtin.baselines.config import SteeredConfig
from preflab_builtin.baselines.steered import Steering, preflight, steered, steered_logits
from preflab_builtin.evaluation.config import KLConfig
from preflab_builtin.evaluation.responses import ReferenceKL

PROMPTS = [Prompt(str(i), "one plus two " * (1 + i % 3)) for i in range(6)]
CONFIG = SteeredConfig(wanted="good ", unwanted="bad ", weight=3.0)


def test_the_formula_against_a_loop_in_float64() -> None:
    """p(x_t) p(wanted | x_<=t)^w / Z, with p(wanted | .) from the two likelihoods by Bayes' rule,
    and of each the root t."""
    generator = torch.Generator().manual_seed(0)
    rows, vocabulary, weight = 3, 7, 2.5
    for tokens in (1, 4):
        following, wanted, unwanted = torch.randn(3, rows, vocabulary, generator=generator)
        of_text = torch.randn(2, rows, generator=generator).double() * 2  # log p(x_<t | class)
        difference = wanted.log_softmax(-1) - unwanted.log_softmax(-1)
        before = (of_text[0] - of_text[1]).float()
        found = steered_logits(following, difference, before, tokens, weight).softmax(-1)
        for row in range(rows):
            p = following[row].double().softmax(-1)
            one, two = (x[row].double().softmax(-1) for x in (wanted, unwanted))
            expected = []
            for v in range(vocabulary):
                likely = [
                    (math.exp(float(of_text[c, row])) * float(conditional[v])) ** (1 / tokens)
                    for c, conditional in enumerate((one, two))
                ]
                expected.append(float(p[v]) * (likely[0] / sum(likely)) ** weight)
            total = sum(expected)
            assert found[row].tolist() == pytest.approx([e / total for e in expected], abs=1e-6)


def test_weight_zero_samples_what_the_policy_samples(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    plain = context.responder("initial").respond(PROMPTS, (1, "test"))
    same = steered(replace(CONFIG, weight=0.0), context).respond(PROMPTS, (1, "test"))
    assert same.tokens() == plain.tokens()
    other = steered(CONFIG, context).respond(PROMPTS, (1, "test"))
    assert other.tokens() != plain.tokens()


def test_each_token_is_that_of_the_formula_over_the_text_so_far(tmp_path: Path) -> None:
    """Greedy, against forward passes over the whole texts, one row at a time."""
    context = FakeContext(tmp_path)
    responder = steered(CONFIG, context).at_temperature(0.0)
    rollout = responder.respond(PROMPTS[:3], (1, "test"))
    policy = context.policy("initial")
    for prompt, (_, response) in zip(PROMPTS[:3], rollout.tokens(), strict=True):
        log_probs = []
        for prefix in ("", "good ", "bad "):
            asked = policy.tokenizer.encode_prompt(replace(prompt, text=prefix + prompt.text))
            ids = torch.tensor([[*asked, *response]])
            with torch.no_grad():
                hidden = policy.hidden(ids, torch.ones_like(ids, dtype=torch.bool))
                log_probs.append(policy.logits(hidden)[0].log_softmax(-1)[len(asked) - 1 : -1])
        difference, before = log_probs[1] - log_probs[2], torch.zeros(1)
        for t, token in enumerate(response):
            following, adds = log_probs[0][t : t + 1], difference[t : t + 1]
            logits = steered_logits(following, adds, before, t + 1, 3.0)
            assert float(logits[0, token]) >= float(logits.max()) - 1e-4
            before = before + difference[t, token]


@torch.no_grad()
def test_the_difference_so_far_is_that_of_all_tokens_read(tmp_path: Path) -> None:
    policy = FakeContext(tmp_path).policy("initial")
    asked = [policy.tokenizer.encode_prompt(Prompt("", f"{p}one")) for p in ("", "good ", "bad ")]
    rows = [torch.tensor([ids]) for ids in asked]
    model = Steering(policy, policy, 3.0)
    _, cache = model.begin([(ids, torch.ones_like(ids, dtype=torch.bool)) for ids in rows])
    sums = [float(cache.before[0])]
    for token in policy.tokenizer.encode("plus two one"):
        sums.append(sums[-1] + float(cache.adds[0, token]))
        _, cache = model.extend(torch.tensor([token]), cache)
        assert float(cache.before[0]) == pytest.approx(sums[-1], abs=1e-6)
    assert max(map(abs, sums)) > 1e-3  # else nothing would tell sums from zeros


def test_the_evaluations_prefix_is_behind_those_of_the_classes(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    told = [replace(prompt, text=f"red {prompt.text}") for prompt in PROMPTS]
    responder = steered(CONFIG, context)
    found = responder.with_prefix("red ").respond(PROMPTS, (1, "test"))
    given = responder.respond(told, (1, "test"))
    assert [r for _, r in found.tokens()] == [r for _, r in given.tokens()]
    assert found.prompts == tuple(PROMPTS)
    forms = [form.text for form in responder.with_prefix("red ").forms(Prompt("", "one"))]
    assert forms == ["red one", "good red one", "bad red one"]
    short = responder.up_to(2).respond(PROMPTS, (1, "test"))
    assert int(short.response_lengths.max()) <= 2


def test_a_stored_model_with_fewer_positions_is_looked_at(tmp_path: Path) -> None:
    """14 positions less 8 leave 6: "one plus two" twice has 6 tokens, with its prefix 7."""
    short = FakeContext(tmp_path, seed=5, policy_config={"max_positions": 14})
    short.policy("initial").save(tmp_path / "short")
    config = replace(CONFIG, path=str(tmp_path / "short"))
    rows = [Prompt("a", "one plus two", split="train"), Prompt("b", "one plus two " * 2)]
    assert list(preflight(config, FakeContext(tmp_path, rows[:1]))) == []
    context = FakeContext(tmp_path, [rows[0], replace(rows[1], split="test")])
    with pytest.raises(UserError, match=r"1 of 2 prompts .*of algorithm.path=.*'b' \(7 tokens\)"):
        list(preflight(config, context))


def test_nothing_is_said_of_its_kl(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    for weight, measured in ((3.0, set()), (0.0, {"kl/reference"})):
        responder = steered(replace(CONFIG, weight=weight), context)
        rollout = responder.respond(PROMPTS, (1, "test"))
        subject = Subject(responder, rollout, None, context.policy("initial"))
        assert set(ReferenceKL(KLConfig(), context).evaluate(subject).measures) == measured


def test_a_stored_model_gives_the_class_if_it_has_the_policys_tokens(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    FakeContext(tmp_path, seed=5).policy("initial").save(tmp_path / "same")
    FakeContext(tmp_path, vocabulary=None).policy("initial").save(tmp_path / "foreign")
    config = replace(CONFIG, path=str(tmp_path / "same"))
    assert list(preflight(config, context)) == []
    own = steered(CONFIG, context).respond(PROMPTS, (1, "test")).tokens()
    assert steered(config, context).respond(PROMPTS, (1, "test")).tokens() != own
    foreign = replace(CONFIG, path=str(tmp_path / "foreign"))
    with pytest.raises(UserError, match="another tokenizer"):
        list(preflight(foreign, context))
    with pytest.raises(UserError, match="another tokenizer"):
        steered(foreign, context)


def test_a_policy_that_never_saw_the_prefixes_is_refused(tmp_path: Path) -> None:
    seen = [Document("0", "good one", split="train"), Document("1", "bad one", split="train")]
    assert list(preflight(CONFIG, FakeContext(tmp_path, seen))) == []
    with pytest.raises(UserError, match=r"begins with 'bad '.*transforms=control_tokens"):
        list(preflight(CONFIG, FakeContext(tmp_path, seen[:1])))
    with pytest.raises(UserError, match="no tokens for all of 'rude '"):
        list(preflight(replace(CONFIG, unwanted="rude "), FakeContext(tmp_path, seen)))
    assert [name for name, _ in SteeredConfig().check()] == ["wanted"]
    assert [name for name, _ in SteeredConfig(wanted="a", unwanted="a ").check()] == ["unwanted"]
