"""The coefficient of the KL penalty, from iteration to iteration."""

from __future__ import annotations


def adapted_coefficient(
    coef: float, kl: float, target: float, horizon: float, episodes: int
) -> float:
    """The KL coefficient after a rollout batch (Ziegler et al. 2019, section 2.2): coef (1 +
    clip(kl / target - 1, -0.2, 0.2) episodes / horizon). kl: nats per episode, mean of the
    batch."""
    error = min(0.2, max(-0.2, kl / target - 1))
    return coef * (1 + error * episodes / horizon)
