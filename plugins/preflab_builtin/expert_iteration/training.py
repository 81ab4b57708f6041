"""Expert iteration on the on-policy core: one row per prompt is kept, and its log-likelihood
raised."""

from __future__ import annotations

import torch

from preflab.interfaces import Context
from preflab_builtin.expert_iteration.config import ExpertIterationConfig
from preflab_builtin.on_policy.experience import Experience
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.on_policy.rules import Rules, TokenLoss


def best_rows(rewards: torch.Tensor, samples: int) -> list[int]:
    """The row with the highest of ``samples`` consecutive rewards [B], a prompt each; of equal ones
    the first."""
    best = rewards.view(-1, samples).argmax(1).tolist()
    return [prompt * samples + place for prompt, place in enumerate(best)]


def rules(config: ExpertIterationConfig) -> Rules:
    """What expert iteration adds to the core."""

    def advantages(
        rewards: torch.Tensor, values: torch.Tensor | None, mask: torch.Tensor
    ) -> tuple[torch.Tensor, None]:
        return rewards.sum(-1, keepdim=True) * mask, None  # what the best is chosen by

    def loss(log_probs: torch.Tensor, batch: Experience) -> TokenLoss:
        return TokenLoss(-log_probs, torch.zeros_like(batch.mask))

    def chosen(batch: Experience) -> list[int]:
        return best_rows(batch.advantages[:, 0], config.samples)

    def described(batch: Experience) -> dict[str, float]:
        best = batch.scores[torch.as_tensor(chosen(batch), device=batch.scores.device)]
        return {"objective/best_score": float(best.mean())}

    return Rules(
        "expert_iteration",
        advantages,
        loss,
        samples=config.samples,
        chosen=chosen,
        described=described,
    )


def expert_iteration(config: ExpertIterationConfig, context: Context) -> OnPolicy:
    """Expert iteration as a procedure."""
    return OnPolicy(config, context, rules(config))
