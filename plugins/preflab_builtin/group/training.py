"""Group baselines on the on-policy core."""

from __future__ import annotations

import torch

from preflab.interfaces import Context
from preflab_builtin.group.advantages import group_advantages
from preflab_builtin.group.config import GroupConfig, Place
from preflab_builtin.on_policy.experience import Experience
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.on_policy.resampling import without_signal
from preflab_builtin.on_policy.rules import Rules, TokenLoss, clipped_loss


def rules(config: GroupConfig) -> Rules:
    """What group baselines add to the core."""

    def advantages(
        rewards: torch.Tensor, values: torch.Tensor | None, mask: torch.Tensor
    ) -> tuple[torch.Tensor, None]:
        return group_advantages(
            rewards, mask, config.samples, config.baseline, config.scale, config.credit
        ), None

    def loss(log_probs: torch.Tensor, batch: Experience) -> TokenLoss:
        clip = config.clip
        return clipped_loss(
            log_probs, batch.log_probs, batch.advantages, batch.mask, clip.ratio, clip.ratio_high
        )

    def described(batch: Experience) -> dict[str, float]:
        silent = len(without_signal(batch.scores, config.samples))
        return {"objective/groups_without_signal": silent * config.samples / len(batch.scores)}

    return Rules(
        "group",
        advantages,
        loss,
        samples=config.samples,
        aggregate=config.aggregate,
        kl_loss=config.kl.estimator if config.kl.place is Place.loss else None,
        described=described if config.samples > 1 else None,
        resample=config.resample,
    )


def group(config: GroupConfig, context: Context) -> OnPolicy:
    """Several responses per prompt, without a value network, as a procedure."""
    return OnPolicy(config, context, rules(config))
