"""Evaluators of the responses that ask no judge: their length, and how far the policy has moved."""

from __future__ import annotations

import math

from preflab import intervals
from preflab.errors import UserError
from preflab.functional import best_of_n_kl_bound
from preflab.interfaces import (
    AtTemperature,
    BestOf,
    Context,
    Evaluation,
    Measure,
    Steers,
    Subject,
)
from preflab.prompts import with_prefix
from preflab.responders import after
from preflab_builtin.evaluation.config import KLConfig, LengthConfig
from preflab_builtin.evaluation.forward import batched_log_probs, questions

EQUAL_LOG_PROBS = 1e-4
"""Two policies count as the same one if no log-probability differs by more than this; nats."""


class Length:
    """length/tokens: mean response length, end token included. length/terminated: share of
    responses that ended with the end token."""

    def __init__(self, config: LengthConfig, context: Context) -> None:
        pass

    def evaluate(self, subject: Subject) -> Evaluation:
        """Measure it."""
        tokens = [float(n) for n in subject.rollout.response_lengths.tolist()]
        ended = [float(t) for t in subject.rollout.terminated.tolist()]
        units = questions(subject.rollout)
        return Evaluation(
            {
                "length/tokens": intervals.within(intervals.mean(tokens, units), 0.0, math.inf),
                "length/terminated": intervals.bounded_mean(ended, units=units),
            },
            {"length/tokens": tokens, "length/terminated": ended},
        )


class ReferenceKL:
    """kl/reference: mean over responses of the sum over their tokens of log pi - log ref, both at
    the sampling temperature: an unbiased estimate of KL(pi || ref) in nats per response. The KL is
    not negative, but its estimate and the ends of the interval can be, and are not cut.

    That holds for responses drawn from the policy itself. If the responder chooses among several
    draws (`BestOf`), nothing is estimated; if its policy is the reference, kl/bound is the upper
    bound `best_of_n_kl_bound`. The policy reads the evaluation's prefix, as when it answered; the
    reference does not, because the prefix is the subject's. Greedy responses have no density, and
    steered ones (`Steers`) another one than the policy's, so that nothing is measured.
    """

    def __init__(self, config: KLConfig, context: Context) -> None:
        self.context = context

    def evaluate(self, subject: Subject) -> Evaluation:
        """Measure it; `UserError` without a reference."""
        if subject.reference is None:
            raise UserError(
                "evaluators: kl needs the policy that the algorithm started from, and this "
                "evaluation has none."
            )
        responder, runtime = subject.responder, self.context.runtime
        if isinstance(responder, AtTemperature):
            temperature = responder.temperature
        else:
            temperature = self.context.rollout().sampling.temperature
        steered = isinstance(responder, Steers) and responder.steered_by
        if temperature == 0 or steered:
            return Evaluation({})
        asked = subject.rollout
        if subject.prefix:
            prompts = [with_prefix(prompt, subject.prefix) for prompt in asked.prompts]
            asked = after(responder.policy.tokenizer, prompts, asked)
        policy = batched_log_probs(responder.policy, asked, temperature, runtime)
        reference = batched_log_probs(subject.reference, subject.rollout, temperature, runtime)
        difference = policy - reference
        if isinstance(responder, BestOf) and responder.n > 1:
            if not bool((difference.abs() < EQUAL_LOG_PROBS).all()):
                return Evaluation({})
            bound = Measure(best_of_n_kl_bound(responder.n), n=len(subject.rollout))
            return Evaluation({"kl/bound": bound})
        values = [float(v) for v in difference.double().sum(-1).tolist()]
        measure = intervals.mean(values, questions(subject.rollout))
        return Evaluation({"kl/reference": measure}, {"kl/reference": values})
