"""What an engine says of its draws, against the policy's own forward pass over them: how far they
are apart, weights that make up for it, and what ends a run.

Shapes: B rows, R response tokens; all tensors [B, R]. "old" are the policy's log-probs,
"sampled" the engine's.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import torch

from preflab.errors import NumericError, UserError
from preflab.runtime import Runtime
from preflab.sampling import EXACT, limit_of
from preflab_builtin.on_policy.config import SamplerConfig
from preflab_builtin.on_policy.diagnosis import cause_of
from preflab_builtin.on_policy.experience import Experience, Networks

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
    to give them; smallest: the smallest mean difference since this process began, nats."""

    config: SamplerConfig
    foreign: bool
    smallest: float = math.inf

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
        rollout = experience.rollout
        if rollout.weights and rollout.weights != (version := networks.policy.version):
            raise NumericError(
                f"{where}: the rollout engine says that it sampled from the weights "
                f"{rollout.weights}, and the policy has {version}: its copy was not refreshed. No "
                "weight was changed. The engine must take Policy.weights() when Policy.version is "
                "another than that of its copy, and raise if it cannot."
            )
        if rollout.log_probs is None:
            self._said_nothing(where)
            return {}
        if not bool(torch.isfinite(rollout.log_probs).all()):
            raise NumericError(
                f"{where}: the rollout engine gave log-probabilities that are not finite, so that "
                "it says that it drew what cannot be drawn. No weight was changed. Is its model "
                "broken, or its number format too narrow?"
            )
        metrics = agreement(experience.log_probs, rollout.log_probs, experience.mask)
        mean = metrics.get("sampler/difference", 0.0)
        self._judge(where, mean, experience, networks, temperature, runtime)
        self.smallest = min(self.smallest, mean)
        return metrics

    def _said_nothing(self, where: str) -> None:
        if self.config.cap is not None:
            raise UserError(
                f"{where}: algorithm.sampler.cap={self.config.cap:g} weighs tokens by what the "
                "rollout engine says of its draws, and this one says nothing (preflab's own need "
                "no such weights). Leave it out, or choose another rollout."
            )
        if self.foreign:
            raise NumericError(
                f"{where}: the rollout engine does not compute with preflab's own forward pass, "
                "and gave no log-probabilities (Rollout.log_probs), so that nothing shows whether "
                "it samples from the policy. No weight was changed."
            )

    def _judge(
        self,
        where: str,
        mean: float,
        experience: Experience,
        networks: Networks,
        temperature: float,
        runtime: Runtime,
    ) -> None:
        given, grown = self.config.limit, mean > max(GROWN * self.smallest, SMALL)
        limit = limit_of(given, self.smallest)
        if limit is not None and mean > limit:
            agreed = self.smallest if grown and self.smallest < math.inf else None
            with runtime.autocast():
                cause = cause_of(experience, networks, temperature, mean, agreed)
            above = f"algorithm.sampler.limit={limit:g}"
            if limit != given:
                above = f"{limit:g}, the limit of an engine that was within {EXACT:g} before"
            raise NumericError(
                f"{where}: the rollout engine's log-probabilities are {mean:.2g} nats per token "
                f"from the policy's, above {above}. {cause} No weight was changed."
            )
        if grown and self.smallest < math.inf:
            logging.getLogger(__name__).warning(
                "%s: the rollout engine's log-probabilities are %.2g nats per token from the "
                "policy's, and were %.2g apart before: is its copy of the weights refreshed after "
                "every update? algorithm.sampler.limit (%s) decides when the run ends.",
                where,
                mean,
                self.smallest,
                given,
            )
