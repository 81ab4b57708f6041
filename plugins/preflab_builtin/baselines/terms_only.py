"""An algorithm's gradient terms without the algorithm: the control that shows what they do alone.

PPO-ptx is PPO plus pretraining gradients, and pretraining gradients alone are continued
pretraining. What this gains with the terms, optimizer and number of steps of an algorithm is not
due to the algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from preflab.interfaces import Context, State
from preflab.optimization import Optimization, gradient_terms, mean_metrics
from preflab_builtin.baselines.config import TermsOnlyConfig


class TermsOnly:
    """`preflab.interfaces.Procedure`: a step is one iteration of the algorithm, batch / minibatch
    updates."""

    def __init__(self, config: TermsOnlyConfig, context: Context) -> None:
        self.config = config
        self.total_steps = config.episodes // config.batch
        with context.runtime.dividing():
            self.policy = context.policy("initial")
        context.runtime.shard(self.policy.module)
        self.terms = gradient_terms(context, config.terms)
        parameters = self.policy.module.parameters()
        self.optimization = Optimization(
            config.policy, parameters, self.total_steps, context.runtime, "policy"
        )
        self.updates = 0

    def step(self, index: int) -> Mapping[str, float]:
        """The terms' gradients and one optimizer step per minibatch; the means of what they
        report."""
        reports: list[dict[str, float]] = []
        for _ in range(self.config.batch // self.config.minibatch):
            report: dict[str, float] = {}
            for name, term in self.terms.items():
                accumulate = partial(
                    term.accumulate, self.policy, self.updates, self.config.minibatch
                )
                report |= self.optimization.add(name, accumulate)
            reports.append(report | self.optimization.step(index))
            self.updates += 1
        return mean_metrics(reports)

    def state_dict(self) -> State:
        """Weights, moments, the terms, the count of updates."""
        return {
            "policy": self.policy.module.state_dict(),
            "optimizer": self.optimization.state_dict(),
            "terms": {name: term.state_dict() for name, term in self.terms.items()},
            "updates": self.updates,
        }

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        self.policy.module.load_state_dict(state["policy"])
        self.optimization.load_state_dict(state["optimizer"])
        for name, term in self.terms.items():
            term.load_state_dict(state["terms"][name])
        self.updates = int(state["updates"])

    def save(self, folder: Path) -> None:
        """The policy."""
        self.policy.save(folder / "model")
