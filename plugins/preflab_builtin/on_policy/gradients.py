"""The gradients of some rows of a minibatch, and what is watched while they are computed."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import torch

from preflab.functional import masked_sum
from preflab.likelihood import response_log_probs, response_values
from preflab.runtime import Runtime
from preflab_builtin.on_policy.experience import Experience, Networks
from preflab_builtin.on_policy.rules import Rules, kl_loss, token_weights
from preflab_builtin.on_policy.sampler import importance

T = TypeVar("T")


class Watched(NamedTuple, Generic[T]):
    """What is watched of an optimizer step: sums over tokens (T is a scalar tensor) or means over
    tokens (T is float). The policy's losses are weighted sums, as `Rules.aggregate` says."""

    policy_loss: T
    kl_loss: T
    value_loss: T
    approx_kl: T
    clipped: T
    ratio: T
    value_clipped: T
    squared_ratio: T
    difference: T
    """|log ratio|."""


WEIGHTED = Watched._fields[:2]
"""What is divided by what `denominator` gives; the others are divided by the number of tokens."""


def accumulate(
    rules: Rules,
    networks: Networks,
    batch: Experience,
    tokens: int,
    divisor: int,
    kl_coef: float,
    temperature: float,
    runtime: Runtime,
    cap: float | None = None,
    counts: float = 1.0,
) -> tuple[Watched[torch.Tensor], torch.Tensor]:
    """Add the gradients of some rows; sums of what is watched, and the largest distance of a ratio
    of new to old probability from 1.

    tokens: of the whole minibatch; they divide the value loss. divisor: what `denominator` gives
    for the whole minibatch; it divides the policy's. cap: of the weights for what the engine drew
    with other probabilities (`sampler.importance`); None: none. counts: 0 for rows that count for
    nothing. One network after the other: the policy's activations are freed before the value
    network's are needed."""
    old, mask = batch.log_probs, batch.mask
    with runtime.autocast():
        new = response_log_probs(networks.policy, batch.rollout, temperature)
    policy = rules.loss(new, batch)
    weights = token_weights(mask, rules.aggregate)
    corrected = weights
    if cap is not None and batch.rollout.log_probs is not None:
        corrected = weights * importance(old, batch.rollout.log_probs, mask, cap)
    loss = masked_sum(corrected * policy.loss, mask)
    kl, total = torch.zeros((), device=mask.device), loss
    if rules.kl_loss is not None and networks.reference is not None:
        reference = old - batch.log_ratio
        kl = masked_sum(weights * kl_loss(new, old, reference, mask, rules.kl_loss), mask)
        total = loss + kl_coef * kl
    torch.autograd.backward(counts * total / divisor)
    value_loss, value_clipped = _accumulate_values(rules, networks, batch, tokens, runtime, counts)
    log_ratio = torch.where(mask, new.detach() - old, torch.zeros_like(old))
    ratio = log_ratio.exp()
    watched = Watched(
        policy_loss=loss.detach(),
        kl_loss=kl.detach(),
        value_loss=value_loss,
        approx_kl=masked_sum(0.5 * log_ratio**2, mask),
        clipped=masked_sum(policy.clipped.float(), mask),
        ratio=masked_sum(ratio, mask),
        value_clipped=value_clipped,
        squared_ratio=(ratio**2 * mask).sum(),
        difference=log_ratio.abs().sum(),
    )
    return watched, (ratio - 1).abs().max()


def _accumulate_values(
    rules: Rules,
    networks: Networks,
    batch: Experience,
    tokens: int,
    runtime: Runtime,
    counts: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for the value network: the sum of its loss, and the number of clipped tokens."""
    if rules.critic is None or networks.value is None:
        nothing = torch.zeros((), device=batch.mask.device)
        return nothing, nothing
    with runtime.autocast():
        values = response_values(networks.value, batch.rollout)
    given = rules.critic.loss(values, batch)
    loss = masked_sum(given.loss, batch.mask)
    torch.autograd.backward(counts * loss / tokens)
    return loss.detach(), masked_sum(given.clipped.float(), batch.mask)


def as_metrics(mean: Watched[float], rules: Rules) -> dict[str, float]:
    """What was watched of an optimizer step as metrics."""
    metrics = {
        "loss/policy_avg": mean.policy_loss,
        "policy/approxkl_avg": mean.approx_kl,
        "policy/clipfrac_avg": mean.clipped,
        "val/ratio": mean.ratio,
        "val/ratio_var": mean.squared_ratio - mean.ratio**2,
    }
    if rules.kl_loss is not None:
        metrics["loss/kl_avg"] = mean.kl_loss
    if rules.critic is not None:
        metrics["loss/value_avg"] = mean.value_loss
        metrics["val/clipfrac_avg"] = mean.value_clipped
    return metrics
