"""SLiC on pairs of the policy's own responses, on preflab's on-policy core, which samples, scores,
measures the KL, deals minibatches, checks every number, saves and resumes.

Shapes: B rows, B / 2 pairs whose rows alternate, R response tokens.
"""

from __future__ import annotations

import torch
from preflab.interfaces import Context
from preflab_builtin.on_policy.config import Aggregate
from preflab_builtin.on_policy.experience import Experience
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.on_policy.rules import Rules, TokenLoss
from preflab_builtin.online_dpo.training import pair_rows

from preflab_pairs.config import OnlineSLiCConfig


def online_slic(config: OnlineSLiCConfig, context: Context) -> OnPolicy:
    """The algorithm as a procedure."""

    def advantages(
        rewards: torch.Tensor, values: torch.Tensor | None, mask: torch.Tensor
    ) -> tuple[torch.Tensor, None]:
        return torch.zeros_like(rewards), None  # whole responses are compared

    def chosen(batch: Experience) -> list[int]:
        return pair_rows(batch.scores, config.samples)

    def loss(log_probs: torch.Tensor, batch: Experience) -> TokenLoss:
        """max(0, 1 - beta (better - worse)) of each pair, at the first token of both rows."""
        reference = batch.log_probs - batch.log_ratio
        nothing = torch.zeros_like(log_probs)
        ratios = torch.where(batch.mask, log_probs - reference, nothing).sum(-1)
        better, worse = ratios.view(-1, 2).unbind(1)
        hinge = torch.relu(1 - config.kl.coef * (better - worse)).repeat_interleave(2)
        loss = torch.cat([hinge[:, None], nothing[:, 1:]], dim=1)
        return TokenLoss(loss, torch.zeros_like(batch.mask))

    samples, response = config.samples, Aggregate.response
    rules = Rules("online_slic", advantages, loss, samples, response, chosen=chosen, together=2)
    return OnPolicy(config, context, rules)
