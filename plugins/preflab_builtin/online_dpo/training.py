"""Online DPO on the on-policy core: two rows per prompt are a pair.

Shapes: B rows of which n consecutive ones answer one prompt, P pairs, R response tokens."""

from __future__ import annotations

import torch

from preflab.interfaces import Context
from preflab_builtin.on_policy.config import Aggregate
from preflab_builtin.on_policy.experience import Experience
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.on_policy.rules import Rules, TokenLoss
from preflab_builtin.online_dpo.config import Labels, OnlineDPOConfig
from preflab_builtin.preference.loss import pair_losses


def pair_rows(scores: torch.Tensor, samples: int) -> list[int]:
    """The rows of the highest and of the lowest score [B] of each prompt, one behind the other; of
    equal scores the first. None of a prompt whose scores are all equal."""
    groups = scores.view(-1, samples)
    sides = zip(groups.argmax(1).tolist(), groups.argmin(1).tolist(), strict=True)
    pairs = [(n * samples + best, n * samples + worst) for n, (best, worst) in enumerate(sides)]
    return [row for best, worst in pairs if best != worst for row in (best, worst)]


def pair_loss(log_probs: torch.Tensor, batch: Experience, config: OnlineDPOConfig) -> torch.Tensor:
    """The loss of each pair [P] of a minibatch whose rows alternate, log_probs [2 P, R]."""
    reference = batch.log_probs - batch.log_ratio
    ratios = torch.where(batch.mask, log_probs - reference, torch.zeros_like(log_probs)).sum(-1)
    better, worse = ratios.view(-1, 2).unbind(1)
    first, second = batch.scores.view(-1, 2).unbind(1)
    other = torch.zeros_like(first)
    if config.labels is Labels.bradley_terry:
        other = torch.sigmoid(second - first)  # the chance that the lower score is preferred
    return pair_losses(better, worse, config.loss, config.kl.coef, label_smoothing=other)


def rules(config: OnlineDPOConfig) -> Rules:
    """What online DPO adds to the core."""

    def advantages(
        rewards: torch.Tensor, values: torch.Tensor | None, mask: torch.Tensor
    ) -> tuple[torch.Tensor, None]:
        return torch.zeros_like(rewards), None  # whole responses are compared

    def loss(log_probs: torch.Tensor, batch: Experience) -> TokenLoss:
        # Of both rows of a pair, at their first token: the mean over rows is that over pairs.
        losses = pair_loss(log_probs, batch, config).repeat_interleave(2)[:, None]
        rest = torch.zeros_like(log_probs)[:, 1:]
        return TokenLoss(torch.cat([losses, rest], dim=1), torch.zeros_like(batch.mask))

    def chosen(batch: Experience) -> list[int]:
        return pair_rows(batch.scores, config.samples)

    def described(batch: Experience) -> dict[str, float]:
        silent = 1 - len(chosen(batch)) / 2 * config.samples / len(batch.scores)
        return {"objective/groups_without_signal": silent}

    return Rules(
        "online_dpo",
        advantages,
        loss,
        samples=config.samples,
        aggregate=Aggregate.response,
        described=described,
        chosen=chosen,
        together=2,
        resample=config.resample,
    )


def online_dpo(config: OnlineDPOConfig, context: Context) -> OnPolicy:
    """Online DPO as a procedure."""
    return OnPolicy(config, context, rules(config))
