"""The arithmetic that algorithms share, as pure functions of tensors. No state, no models, no
devices.

Shapes: B batch, R response tokens, V vocabulary. mask [B, R] is true on response tokens, the end
token included."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

Reduce = Callable[[torch.Tensor], torch.Tensor]
"""Sums a tensor over all processes (`preflab.runtime.Runtime.sum`)."""


def _alone(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def token_log_probs(
    logits: torch.Tensor, ids: torch.Tensor, temperature: float = 1.0
) -> torch.Tensor:
    """log pi_tau(id) for logits [..., V] and ids [...] -> [...] float32.

    The density of what was sampled: softmax(logits / temperature). gather minus logsumexp needs no
    second [..., V] tensor."""
    scaled = logits.float() if temperature == 1.0 else logits.float() / temperature
    return scaled.gather(-1, ids.unsqueeze(-1)).squeeze(-1) - scaled.logsumexp(-1)


def entropy(logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Entropy in nats of softmax(logits / temperature), logits [..., V] -> [...] float32."""
    scaled = logits.float() / temperature
    log_normaliser = scaled.logsumexp(-1)
    return log_normaliser - (scaled.softmax(-1) * scaled).sum(-1)


def _masked(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """values [...] where mask [...] is true, zero elsewhere, even where the value there is nan."""
    return torch.where(mask, values, values.new_zeros(()))


def masked_sum(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Sum of values [...] where mask [...] is true; other values, nan included, have no effect."""
    return _masked(values, mask).sum()


def masked_mean(values: torch.Tensor, mask: torch.Tensor, reduce: Reduce = _alone) -> torch.Tensor:
    """Mean of values where mask is true, over all processes: one global denominator, never a mean
    of means."""
    return reduce(masked_sum(values, mask)) / reduce(mask.sum())


def whiten(
    values: torch.Tensor,
    mask: torch.Tensor,
    shift_mean: bool = True,
    eps: float = 1e-8,
    reduce: Reduce = _alone,
) -> torch.Tensor:
    """(values - mean) / sqrt(variance + eps) over the masked entries of all processes, population
    variance; zero elsewhere.

    shift_mean=False adds the mean back: not a plain rescale, but r/sigma + mu (1 - 1/sigma).
    """
    count = reduce(mask.sum())
    mean = reduce(masked_sum(values, mask)) / count
    variance = reduce(masked_sum((values - mean) ** 2, mask)) / count
    whitened = (values - mean) * (variance + eps).rsqrt()
    if not shift_mean:
        whitened = whitened + mean
    return _masked(whitened, mask)


def kl_estimates(log_ratio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """k1, k2, k3 of KL(pi || ref) from log pi - log ref at samples of pi (Schulman,
    http://joschu.net/blog/kl-approx.html).

    k1 is the only one that may be a reward: k2 and k3 have no restoring force below the reference.
    """
    return log_ratio, 0.5 * log_ratio**2, (-log_ratio).exp() - 1 + log_ratio


def token_rewards(
    scores: torch.Tensor, log_ratio: torch.Tensor, mask: torch.Tensor, coef: float
) -> torch.Tensor:
    """Reward of each token [B, R]: -coef * (log pi - log ref) on every response token, plus the
    score [B] on the last one.

    InstructGPT equation 2 with the KL written token by token; summed over a response it is
    score - coef * log-ratio. Nothing follows the end token.
    """
    rewards = _masked(-coef * log_ratio, mask)
    last = mask.sum(-1) - 1
    if bool((last < 0).any()):
        raise ValueError("a response has no token to carry its score")
    return rewards.scatter_add(1, last.unsqueeze(-1), scores.to(rewards).unsqueeze(-1))


def gae(
    rewards: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
    gamma: float = 1.0,
    lam: float = 0.95,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016) over rewards, values [B, R] ->
    advantages, returns [B, R].

    delta_t = r_t + gamma V_{t+1} - V_t with V = 0 after the last response token: the response ends
    there, cut or not, because a score was given. returns = advantages + values. Both are zero
    outside the mask, whatever the inputs hold there.
    """
    rewards, values = _masked(rewards, mask), _masked(values, mask)
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    deltas = _masked(rewards + gamma * following - values, mask)
    advantages = torch.zeros_like(deltas)
    running = torch.zeros_like(deltas[:, 0])
    for t in range(deltas.shape[1] - 1, -1, -1):
        running = deltas[:, t] + gamma * lam * running
        advantages[:, t] = running
    return advantages, advantages + values


def best_of_n_kl_bound(n: int) -> float:
    """log n - (n - 1) / n nats: KL of best-of-n to the policy it samples from (Stiennon et al.
    2020).

    Exact for rewards without ties, else an upper bound (Beirami et al. 2024).

    >>> round(best_of_n_kl_bound(4), 4)
    0.6363
    """
    return math.log(n) - (n - 1) / n
