"""Advantages from the other responses to the same prompt.

Shapes: B rows of which n consecutive ones answer one prompt, R response tokens.
"""

from __future__ import annotations

import torch

from preflab.functional import whiten
from preflab_builtin.group.config import Baseline, Credit, Scale

EPSILON = 1e-4
"""Added to the standard deviation of a group (GRPO's public implementations)."""


def group_advantages(
    rewards: torch.Tensor,
    mask: torch.Tensor,
    samples: int,
    baseline: Baseline,
    scale: Scale,
    credit: Credit,
) -> torch.Tensor:
    """Advantages [B, R] of the rewards of tokens [B, R]; zero outside the mask.

    With leave_one_out the gradient is unbiased (RLOO, arXiv 2402.14740, equation 7). ``mean``
    contains the response itself, which scales the gradient by (n - 1) / n in expectation. Dividing
    by the group's standard deviation (GRPO, arXiv 2402.03300, 4.1.2) changes the weight of prompts
    and so what is maximised. REINFORCE++ (arXiv 2501.03262) whitens over the batch."""
    totals = rewards.sum(-1)
    if credit is Credit.token:
        advantages = rewards.flip(-1).cumsum(-1).flip(-1)
    else:
        advantages = totals[:, None].expand_as(rewards)
    advantages = advantages - baselines(totals, samples, baseline)[:, None]
    if scale is Scale.group:
        # The sample standard deviation, n - 1 in the denominator, as public implementations have.
        deviation = totals.view(-1, samples).std(-1, keepdim=True).expand(-1, samples)
        advantages = advantages / (deviation.reshape(-1, 1) + EPSILON)
    if scale is Scale.batch:
        return whiten(advantages, mask)
    return torch.where(mask, advantages, torch.zeros_like(advantages))


def baselines(totals: torch.Tensor, samples: int, baseline: Baseline) -> torch.Tensor:
    """What is subtracted from the reward of each response, totals [B] -> [B]."""
    groups = totals.view(-1, samples)
    means = groups.mean(-1, keepdim=True).expand_as(groups)
    if baseline is Baseline.none:
        return torch.zeros_like(totals)
    if baseline is Baseline.leave_one_out:
        means = (groups.sum(-1, keepdim=True) - groups) / (samples - 1)
    return means.reshape(-1)
