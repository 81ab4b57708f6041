"""The exponential moving average of a policy's weights (InstructGPT C.4: 0.992)."""

from __future__ import annotations

import torch

from preflab.interfaces import Policy, State
from preflab.sharding import gathered, parted


class Average:
    """The average of every weight over optimizer steps. decay: None keeps none."""

    def __init__(self, decay: float | None, policy: Policy) -> None:
        self.decay, self.policy = decay, policy
        current = {} if decay is None else policy.module.state_dict()
        self.weights = {name: weight.clone() for name, weight in current.items()}

    def move(self) -> None:
        """Move on by one optimizer step."""
        if self.decay is None:
            return
        for name, weight in self.policy.module.state_dict().items():
            if weight.is_floating_point():
                self.weights[name].lerp_(weight, 1 - self.decay)
            else:
                self.weights[name].copy_(weight)

    def result(self) -> Policy:
        """The policy with the averaged weights; the policy itself without an average."""
        if self.decay is None:
            return self.policy
        averaged = self.policy.copy()
        averaged.module.load_state_dict(gathered(self.weights))
        return averaged

    def state_dict(self) -> State:
        """The averaged weights by name."""
        return dict(self.weights)

    def load_state_dict(self, state: State, device: torch.device) -> None:
        """Continue from them; from the policy as it is now if none were kept until now."""
        if self.decay is not None:
            current = self.policy.module.state_dict()
            self.weights = {
                name: parted(value, current[name]).to(device, copy=True)
                for name, value in (state or current).items()
            }
