"""What an engine says of its draws, against the policy's own forward pass over them: how far they
are apart, weights that make up for it, and what ends a run.

Shapes: B rows, R response tokens; all tensors [B, R]. "old" are the policy's log-probs,
"sampled" the engine's.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field

import torch

from preflab.errors import NumericError, UserError
from preflab.interfaces import RolloutEngine
from preflab.runtime import Precision, Runtime
from preflab.sampling import (
    EXACT,
    EXACT_LIMIT,
    Agreement,
    agreement_of,
    differences,
    false_of,
    is_beyond,
    is_foreign,
    limit_of,
)
from preflab_builtin.on_policy.config import OldLogProbs, OnPolicyConfig, SamplerConfig
from preflab_builtin.on_policy.diagnosis import cause_of
from preflab_builtin.on_policy.experience import Experience, Networks
from preflab_builtin.on_policy.inputs import NOT_GIVEN

GROWN, SMALL = 10.0, 1e-3
"""A mean difference so many times the smallest of the run, and above so many nats, is warned of."""


def importance(
    old: torch.Tensor, sampled: torch.Tensor, mask: torch.Tensor, cap: float
) -> torch.Tensor:
    """min(exp(old - sampled), cap) for each token, 1 outside the mask: with it a loss is that of
    draws of the policy, but for what the cap cuts off (truncated importance sampling)."""
    return torch.where(mask, old - sampled, torch.zeros_like(old)).exp().clamp(max=cap)


def agreement(old: torch.Tensor, sampled: torch.Tensor, mask: torch.Tensor) -> dict[str, float]:
    """kl: KL(engine || policy) per token, by the estimator that is never negative (k3), nats.
    difference, max_difference: mean and largest |old - sampled| of a token, nats. ess: the share of
    the tokens that they are worth as draws of the policy, (sum w)^2 / (n sum w^2) with
    w = exp(old - sampled); 1: all of them."""
    gap = (old - sampled)[mask].double()
    if gap.numel() == 0:
        return {}
    weights = gap.exp()
    return {
        "sampler/kl": float((weights - 1 - gap).mean()),
        "sampler/difference": float(gap.abs().mean()),
        "sampler/max_difference": float(gap.abs().max()),
        "sampler/ess": float(weights.sum() ** 2 / (gap.numel() * (weights**2).sum())),
    }


@dataclass
class SamplerGuard:
    """Compares an engine's log-probs with the policy's in every iteration. foreign: the engine has
    to give them; seen: how near it was since this process began; trusted: its log-probs are the old
    ones, so that they are compared on the first minibatch alone; exact: it computes in float32 with
    the policy itself; first: the metric of this iteration's first minibatch."""

    config: SamplerConfig
    foreign: bool
    seen: Agreement = field(default_factory=Agreement)
    trusted: bool = False
    exact: bool = False
    first: dict[str, float] = field(default_factory=dict)

    def check(
        self,
        where: str,
        experience: Experience,
        networks: Networks,
        temperature: float,
        runtime: Runtime,
    ) -> dict[str, float]:
        """The metrics of `agreement`, {} for an engine that says nothing and need not.
        `NumericError` for other weights than the policy's, and for a mean difference above
        ``sampler.limit``, with its likely cause. where: algorithm and iteration."""
        rollout, self.first = experience.rollout, {}
        # The version reads all weights, whole: only of an engine that names one.
        problem = false_of(rollout, networks.policy.version if rollout.weights else "")
        if rollout.log_probs is None and self.config.cap is not None:
            raise UserError(_NO_WEIGHTS.format(where, self.config.cap))
        if rollout.log_probs is None and self.trusted:
            raise UserError(f"{where}: {NOT_GIVEN}")
        if problem and (self.foreign or rollout.weights or rollout.log_probs is not None):
            raise NumericError(f"{where}: {problem} No weight was changed.")
        if rollout.log_probs is None or self.trusted:
            return {}
        metrics = agreement(experience.log_probs, rollout.log_probs, experience.mask)
        mean, near = differences(experience.log_probs, rollout.log_probs, experience.mask)
        self._judge(where, mean, experience, networks, temperature, runtime)
        self.seen.smallest = min(self.seen.smallest, near)
        return metrics

    def require_near(self, where: str, difference: float) -> None:
        """Judge log-probs that are trusted. difference: mean |old - new| over the tokens of an
        iteration's first minibatch, before any weight has changed. `NumericError` above
        ``sampler.limit``, and above `EXACT_LIMIT` for an engine that is exact."""
        if not self.trusted:
            return
        limit = EXACT_LIMIT if self.exact else self.config.limit
        if is_beyond(difference, limit):
            raise NumericError(
                f"{where}: the rollout engine's log-probabilities, which algorithm.old_log_probs="
                f"sampled takes, are {difference:.2g} nats per token from those of training; at "
                f"most {limit:g} is allowed. No weight was changed. algorithm.old_log_probs="
                "recomputed computes them, and names the cause if they still differ."
            )
        self.first = {"sampler/difference": difference}

    def _judge(
        self,
        where: str,
        mean: float,
        experience: Experience,
        networks: Networks,
        temperature: float,
        runtime: Runtime,
    ) -> None:
        given, smallest = self.config.limit, self.seen.smallest
        grown = smallest < math.inf and mean > max(GROWN * smallest, SMALL)
        if is_beyond(mean, limit := limit_of(given, smallest)):
            agreed = smallest if grown else None
            with runtime.autocast():
                cause = cause_of(experience, networks, temperature, mean, agreed)
            above = f"algorithm.sampler.limit={limit:g}"
            if limit != given:
                above = f"{limit:g}, the limit of an engine that was within {EXACT:g} before"
            raise NumericError(
                f"{where}: the rollout engine's log-probabilities are {mean:.2g} nats per token "
                f"from the policy's, above {above}. {cause} No weight was changed."
            )
        if grown:
            logging.getLogger(__name__).warning(
                "%s: the rollout engine's log-probabilities are %.2g nats per token from the "
                "policy's, and were %.2g apart before: is its copy of the weights refreshed after "
                "every update? algorithm.sampler.limit (%s) decides when the run ends.",
                where,
                mean,
                smallest,
                given,
            )


def guard_of(config: OnPolicyConfig, engine: RolloutEngine, runtime: Runtime) -> SamplerGuard:
    """The guard of a run's engine."""
    trusted, foreign = config.old_log_probs is OldLogProbs.sampled, is_foreign(engine)
    exact = not foreign and runtime.config.precision is Precision.float32
    return SamplerGuard(config.sampler, foreign, agreement_of(engine), trusted, exact)


_NO_WEIGHTS = (
    "{0}: algorithm.sampler.cap={1:g} weighs tokens by what the rollout engine says of its draws, "
    "and this one says nothing (preflab's own need no such weights). Leave it out, or choose "
    "another rollout."
)
