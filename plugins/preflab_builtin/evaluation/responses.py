"""Evaluators of the sampled responses that ask nobody's opinion: their length, and how far the policy has moved."""

from __future__ import annotations

from preflab import intervals
from preflab.errors import UserError
from preflab.functional import best_of_n_kl_bound
from preflab.interfaces import AtTemperature, BestOf, Context, Evaluation, Measure, Subject
from preflab_builtin.evaluation.likelihood import response_log_probs

SAME = 1e-4
"""Largest difference of log-probabilities (nats) at which two policies count as the same one."""


class Length:
    """length/tokens: mean response length, end token included. length/terminated: share of responses that ended."""

    def evaluate(self, subject: Subject) -> Evaluation:
        """Measure it."""
        tokens = [float(n) for n in subject.rollout.response_lengths.tolist()]
        ended = [bool(t) for t in subject.rollout.terminated.tolist()]
        measures = {
            "length/tokens": intervals.mean(tokens),
            "length/terminated": intervals.share(ended),
        }
        return Evaluation(
            measures, {"length/tokens": tokens, "length/terminated": [float(t) for t in ended]}
        )


class ReferenceKL:
    """kl/reference: mean over responses of the sum over their tokens of log pi - log ref, both at the sampling
    temperature: an unbiased estimate of KL(pi || ref) an episode, in nats.

    That holds for responses drawn from the policy itself. A responder that chooses among several draws says how many by an
    attribute ``n``; then there is no estimate, but if its policy is the reference, the measure kl/bound is the bound
    log n - (n - 1) / n of best-of-n (Beirami et al. 2024). With greedy responses there is no density and no measure.
    """

    def __init__(self, context: Context) -> None:
        self.runtime, self.context = context.runtime, context

    def evaluate(self, subject: Subject) -> Evaluation:
        """Measure it; `UserError` without a reference."""
        if subject.reference is None:
            raise UserError(
                "evaluators: kl needs the policy that the algorithm started from, and this evaluation has none."
            )
        responder = subject.responder
        if isinstance(responder, AtTemperature):
            temperature = responder.temperature
        else:
            temperature = self.context.rollout().sampling.temperature
        if temperature == 0:
            return Evaluation({})
        policy = response_log_probs(responder.policy, subject.rollout, temperature, self.runtime)
        reference = response_log_probs(
            subject.reference, subject.rollout, temperature, self.runtime
        )
        difference = policy - reference
        if isinstance(responder, BestOf) and responder.n > 1:
            if not bool((difference.abs() < SAME).all()):
                return Evaluation({})
            bound = Measure(best_of_n_kl_bound(responder.n), n=len(subject.rollout))
            return Evaluation({"kl/bound": bound})
        values = [float(v) for v in difference.double().sum(-1).tolist()]
        return Evaluation({"kl/reference": intervals.mean(values)}, {"kl/reference": values})
