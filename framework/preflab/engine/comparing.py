"""Engines that compute in their own way, or from a copy of the weights, against the policy: what is
wrong there raises no error by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from preflab.engine.sharing import SharedEngine
from preflab.errors import NumericError
from preflab.interfaces import Policy, RolloutEngine, Sampling
from preflab.records import Prompt, Rollout
from preflab.sampling import (
    LIMIT,
    Agreement,
    differences,
    false_of,
    is_beyond,
    is_foreign,
    limit_of,
)

if TYPE_CHECKING:
    from preflab.runtime import Runtime

ROWS = 8
"""Responses that are compared."""


def prepared(engine: RolloutEngine, runtime: Runtime, seen: Agreement) -> RolloutEngine:
    """An engine as stages use it: shared by the processes of the job, and compared with the policy
    if it is `Foreign`."""
    # `make conformance` divides the weights of one process, too.
    alone = runtime.world == 1 and not runtime.is_sharded
    shared = engine if alone else SharedEngine(engine, runtime)
    return ComparedEngine(shared, runtime, seen) if is_foreign(engine) else shared


@dataclass(frozen=True)
class ComparedEngine:
    """A `Foreign` engine of which some responses are compared with the policy whenever that is
    another one than before. `NumericError` if it samples from another distribution."""

    engine: RolloutEngine
    runtime: Runtime
    seen: Agreement

    @property
    def sampling(self) -> Sampling:
        return self.engine.sampling

    @property
    def weights(self) -> str:
        """As the engine says it."""
        return str(getattr(self.engine, "weights", ""))

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        rollout = self.engine.generate(policy, prompts, sampling, seed)
        if len(rollout) and not sampling.compared and policy.version != self.seen.version:
            drawn, temperature = rollout, sampling.temperature
            if temperature == 0:  # the likeliest tokens have no density, others do
                temperature = 1.0
                some = replace(sampling, temperature=temperature, samples=1, first_row=0)
                drawn = self.engine.generate(policy, prompts[:ROWS], some, ("compared",))
            self._compare(policy, drawn.rows(range(min(ROWS, len(drawn)))), temperature)
        return rollout

    def _compare(self, policy: Policy, rows: Rollout, temperature: float) -> None:
        import torch

        from preflab.likelihood import response_log_probs

        if problem := false_of(rows, version := policy.version):
            raise NumericError(f"{problem[0].upper()}{problem[1:]} {_CURE}")
        if rows.log_probs is None or not bool(rows.response_mask.any()):
            return  # responses without a token: the next ones are compared
        with torch.no_grad(), self.runtime.autocast():
            own = response_log_probs(policy, rows, temperature)
        mean, near = differences(own, rows.log_probs, rows.response_mask)
        if is_beyond(mean, limit := limit_of(LIMIT, self.seen.smallest)):
            raise NumericError(
                f"The rollout engine's log-probabilities are {mean:.2g} nats per token from the "
                f"policy's, more than {limit:g}: it samples from other weights (its copy was not "
                "refreshed, or not all of it), at another temperature, or in a narrow number "
                f"format; or it says log-probabilities before the temperature. {_CURE}"
            )
        self.seen.version, self.seen.smallest = version, min(self.seen.smallest, near)


_CURE = (
    "What it sampled is not used. Look at how the engine takes the policy's weights, and start its "
    "server anew with the flags that its README names, or give rollout=native; the same command "
    "goes on from the last checkpoint."
)
