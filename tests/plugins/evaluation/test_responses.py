"""The KL estimate against exact divergences."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from preflab.interfaces import Measure, Policy, Sampling, Subject
from preflab.records import Prompt, Rollout
from preflab.responders import PolicyResponder, reading
from preflab_builtin.evaluation import config as c
from preflab_builtin.evaluation.forward import batched_log_probs
from preflab_builtin.evaluation.responses import Length, ReferenceKL
from support import WORDS, FakeContext


def _moved(policy: Policy, size: float) -> Policy:
    moved = policy.copy()
    with torch.no_grad():
        for i, parameter in enumerate(moved.module.parameters()):
            parameter.add_(
                size * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
            )
    return moved


def _kl(context: FakeContext, subject: Subject) -> Measure:
    return ReferenceKL(c.KLConfig(), context).evaluate(subject).measures["kl/reference"]


def test_kl_is_the_mean_log_ratio_of_whole_responses(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    moved, reference = _moved(context.policy("base"), 0.2), context.policy("initial")
    responder = PolicyResponder(moved, context.rollout())
    rollout = responder.respond([Prompt(str(i), WORDS[i]) for i in range(5)], ("test",))
    kl = _kl(context, Subject(responder, rollout, None, reference))
    own = batched_log_probs(moved, rollout, 1.0, context.runtime)
    other = batched_log_probs(reference, rollout, 1.0, context.runtime)
    assert kl.value == pytest.approx(float((own - other).sum(-1).mean()), rel=1e-5)
    assert kl.n == 5


def test_the_policy_reads_the_prefix_that_it_answered_after_and_the_reference_does_not(
    tmp_path: Path,
) -> None:
    context = FakeContext(tmp_path)
    moved, reference = _moved(context.policy("base"), 0.2), context.policy("initial")
    responder = reading(PolicyResponder(moved, context.rollout()), "good ")
    prompts = [Prompt(str(i), WORDS[i]) for i in range(5)]
    rollout = responder.respond(prompts, ("test",))
    kl = _kl(context, Subject(responder, rollout, None, reference, "good "))
    asked = PolicyResponder(moved, context.rollout()).respond(
        [Prompt(p.id, f"good {p.text}") for p in prompts], ("test",)
    )
    own = batched_log_probs(moved, asked, 1.0, context.runtime).sum(-1)
    other = batched_log_probs(reference, rollout, 1.0, context.runtime).sum(-1)
    assert kl.value == pytest.approx(float((own - other).mean()), rel=1e-5)


def test_a_negative_estimate_is_in_the_middle_of_its_interval(tmp_path: Path) -> None:
    """Responses of the reference are likelier under it: the mean of log pi - log ref is minus
    KL(ref || pi). Five of them: Student's t, as far below the mean as above."""
    context = FakeContext(tmp_path)
    moved, reference = _moved(context.policy("base"), 0.5), context.policy("initial")
    prompts = [Prompt(str(i), WORDS[i]) for i in range(5)]
    rollout = context.responder("initial").respond(prompts, ("test",))
    responder = PolicyResponder(moved, context.rollout())
    kl = _kl(context, Subject(responder, rollout, None, reference))
    assert kl.low < kl.value < 0
    assert kl.value - kl.low == pytest.approx(kl.high - kl.value)


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
    same = Subject(context.responder("base"), rollout, None, reference)
    assert _kl(context, same).value == 0.0  # the responder's own policy is the reference here
    responder = PolicyResponder(policy, context.rollout())
    estimate = _kl(context, Subject(responder, rollout, None, reference))
    assert estimate.low - 0.02 < exact < estimate.high + 0.02
    assert exact > 0.05  # else the test would say nothing


def test_responses_to_one_prompt_are_not_independent(tmp_path: Path) -> None:
    # Two prompts, each answered ten times; all end: 2 of 2, not 20 of 20. Wilson's low end is
    # 2 / (2 + 1.96^2) = .3424.
    context = FakeContext(tmp_path)
    prompts = [Prompt(str(i % 2), WORDS[i % 2]) for i in range(20)]
    texts = [WORDS[i % 2] for i in range(20)]
    rollout = Rollout.from_texts(context.tokenizer, prompts, texts)
    subject = Subject(context.responder("result"), rollout, None, None)
    measures = Length(c.LengthConfig(), context).evaluate(subject).measures
    ended = measures["length/terminated"]
    assert (ended.value, ended.high, ended.n) == (1.0, 1.0, 2)
    assert ended.low == pytest.approx(0.3424, abs=1e-4)
    assert measures["length/tokens"].least == 0.0
