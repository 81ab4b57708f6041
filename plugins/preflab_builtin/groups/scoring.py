"""The groups' rewards as one reward. Shapes: B rows, G groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from preflab.errors import UserError
from preflab.interfaces import Context, HeadsModel, RewardModel, ScalarModel
from preflab.records import Prompt, Rollout
from preflab.runtime import Runtime
from preflab_builtin.evaluation.forward import question
from preflab_builtin.groups.config import (
    KwiseGroupsConfig,
    PretrainedGroupsConfig,
    Weighing,
    Welfare,
)
from preflab_builtin.groups.folder import located_at
from preflab_builtin.groups.heads import refuse_names
from preflab_builtin.groups.welfare import (
    group_weights,
    same_scale,
    weighted,
    weighted_by_tag,
    worst,
)
from preflab_builtin.reward_model.scoring import raw_scores

LEAST_SPREAD = 0.01
"""Of the mean spread, that a head needs at least: what a flatter one says is noise, which would
count more than a hundred times as much."""
NO_SPREADS = (
    "{0}.standardise needs how far each head tells responses apart, and {1}. Train the reward "
    "model again, or leave standardise out."
)


class GroupRewards:
    """The reward of each group: a frozen network, minus the offset of each head, times its scale.
    weights: of the sum from which value functions start."""

    def __init__(
        self, model: HeadsModel, weights: list[float], scales: list[float], runtime: Runtime
    ) -> None:
        self.model, self.weights, self.scales, self.runtime = model, weights, scales, runtime
        model.module.requires_grad_(False)

    def of(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B, G] float32."""
        if not len(rollout):
            return torch.zeros(0, len(self.model.names), device=self.runtime.device)
        scores = raw_scores(self.model, rollout, self.runtime)
        return (scores - scores.new_tensor(self.model.offsets)) * scores.new_tensor(self.scales)

    def named(self, rollout: Rollout) -> dict[str, torch.Tensor]:
        """The rewards [B] of each group by its name."""
        return dict(zip(self.model.names, self.of(rollout).unbind(1), strict=True))

    def network(self) -> ScalarModel:
        """One head, the weighted sum: what value functions start from."""
        return self.model.weighted([w * s for w, s in zip(self.weights, self.scales, strict=True)])


class WeightedReward:
    """`preflab.interfaces.RewardModel`, `HasNetwork`, `HasNetworks` and `OfMembers` (a member is a
    group): the weighted sum of the groups' rewards."""

    def __init__(self, rewards: GroupRewards) -> None:
        self.groups = rewards

    @property
    def network(self) -> ScalarModel:
        """One head that scores as this does."""
        return self.groups.network()

    @property
    def networks(self) -> Sequence[HeadsModel]:
        """The one with all heads."""
        return [self.groups.model]

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        return weighted(self.groups.of(rollout), self.groups.weights)

    def members(self, rollout: Rollout) -> dict[str, torch.Tensor]:
        """The rewards [B] of each group by its name."""
        return self.groups.named(rollout)

    def together(self, members: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Their weighted sum."""
        return weighted(torch.stack(list(members.values()), 1), self.groups.weights)


class JoinedReward:
    """`preflab.interfaces.RewardModel`, `HasNetwork` and `HasNetworks`: a function of the groups'
    rewards and of the prompts. join: [B, G] and B prompts -> [B]."""

    def __init__(
        self,
        rewards: GroupRewards,
        join: Callable[[torch.Tensor, Sequence[Prompt]], torch.Tensor],
    ) -> None:
        self.groups, self._join = rewards, join

    @property
    def network(self) -> ScalarModel:
        """One head, the sum with the weights that prompts have as a rule (`Welfare.worst`: equal
        ones)."""
        return self.groups.network()

    @property
    def networks(self) -> Sequence[HeadsModel]:
        """The one with all heads."""
        return [self.groups.model]

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        return self._join(self.groups.of(rollout), rollout.prompts)


def _worst(rewards: torch.Tensor, prompts: Sequence[Prompt]) -> torch.Tensor:
    return worst(rewards, [question(prompt) for prompt in prompts])


def groups_reward(config: KwiseGroupsConfig, context: Context) -> RewardModel:
    """The reward model that the stage made."""
    return _reward(config, context, context.folder / "model")


def pretrained_groups(config: PretrainedGroupsConfig, context: Context) -> RewardModel:
    """The reward model in a folder."""
    return _reward(config, context, located_at(config.path))


def _reward(
    config: KwiseGroupsConfig | PretrainedGroupsConfig, context: Context, folder: Path
) -> RewardModel:
    model, key = context.load_heads(folder), context.key_of(config)
    refuse_names(config.weighed(), model.names, key)
    rewards = GroupRewards(
        model,
        group_weights(config.welfare, model.names, model.shares, config.weights),
        _scales(config, model, key),
        context.runtime,
    )
    if config.welfare is Welfare.worst:
        return JoinedReward(rewards, _worst)
    if not config.weights_by_tag:
        return WeightedReward(rewards)
    by_tag = {
        tag: group_weights(Welfare.weights, model.names, model.shares, own)
        for tag, own in config.weights_by_tag.items()
    }
    return JoinedReward(
        rewards,
        lambda values, prompts: weighted_by_tag(
            values, [prompt.tags for prompt in prompts], rewards.weights, by_tag
        ),
    )


def _scales(config: Weighing, model: HeadsModel, key: str) -> list[float]:
    if not config.standardise:
        return [1.0] * len(model.names)
    if any(math.isnan(spread) for spread in model.spreads):
        raise UserError(NO_SPREADS.format(key, "an earlier version did not store it"))
    least = LEAST_SPREAD * sum(model.spreads) / len(model.spreads)
    if flat := [n for n, s in zip(model.names, model.spreads, strict=True) if not s > least]:
        why = f"that of {flat[0]!r} does so by less than 1 % of the heads' mean"
        raise UserError(NO_SPREADS.format(key, why))
    return same_scale(model.spreads)
