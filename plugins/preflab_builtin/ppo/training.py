"""PPO on the on-policy core: a value network, advantages by GAE, clipped losses, the KL in the
reward (InstructGPT 3.5, C.4)."""

from __future__ import annotations

from functools import partial

import torch

from preflab.interfaces import Context
from preflab_builtin.on_policy.experience import Experience
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.on_policy.rules import Critic, Rules, TokenLoss, clipped_loss
from preflab_builtin.ppo.config import PPOConfig
from preflab_builtin.ppo.loss import estimated_advantages, value_loss


def rules(config: PPOConfig) -> Rules:
    """What PPO adds to the core."""

    def policy(log_probs: torch.Tensor, batch: Experience) -> TokenLoss:
        old, clip = batch.log_probs, config.clip.ratio
        return clipped_loss(log_probs, old, batch.advantages, batch.mask, clip)

    def value(values: torch.Tensor, batch: Experience) -> TokenLoss:
        assert batch.values is not None and batch.returns is not None  # noqa: PT018
        return value_loss(values, batch.values, batch.returns, batch.mask, config.clip.value)

    advantages = partial(estimated_advantages, settings=config.advantage)
    return Rules("ppo", advantages, policy, critic=Critic(value, config.value))


def ppo(config: PPOConfig, context: Context) -> OnPolicy:
    """PPO as a procedure."""
    return OnPolicy(config, context, rules(config))
