"""The entropy bonus."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from preflab.functional import entropy
from preflab.interfaces import Context, Policy, State
from preflab.likelihood import response_states
from preflab.records import Rollout
from preflab.runtime import weight
from preflab_builtin.entropy.config import EntropyConfig


class EntropyBonus:
    """`preflab.interfaces.GradientTerm` and `SeesBatch`: the loss is -coef times the mean over all
    response tokens of the optimizer step of the entropy before each. It has no state."""

    def __init__(self, config: EntropyConfig, context: Context) -> None:
        self.config, self.runtime = config, context.runtime
        self._seen: tuple[Rollout, float] | None = None

    def see(self, rollout: Rollout, temperature: float) -> None:
        """The responses of this optimizer step."""
        self._seen = rollout, temperature

    def accumulate(self, policy: Policy, step: int, episodes: int) -> Mapping[str, float]:
        """Add the gradient of this process's share. loss/entropy: minus the mean entropy of all
        processes, nats per token."""
        assert self._seen is not None, "an on-policy algorithm shows its batch first"
        rollout, temperature = self._seen
        tokens = int(rollout.response_lengths.sum())
        total = torch.zeros((), device=self.runtime.device)
        for index in self.runtime.passes(rollout.by_length()):
            with self.runtime.autocast():
                logits = policy.logits(response_states(policy, rollout.rows(index)))
            loss = -entropy(logits, temperature).sum()
            torch.autograd.backward(weight(index) * self.config.coef / tokens * loss)
            total += weight(index) * loss.detach()
        return {"loss/entropy": float(self.runtime.sum(total)) / tokens}

    def state_dict(self) -> State:
        """Nothing changes from step to step."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Nothing to restore."""
