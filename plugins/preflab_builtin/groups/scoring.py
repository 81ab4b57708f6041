"""The groups' rewards as one reward. Shapes: B rows, G groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from preflab.interfaces import Context, HeadsModel, RewardModel, ScalarModel
from preflab.records import Rollout
from preflab.runtime import Runtime
from preflab_builtin.groups.config import KwiseGroupsConfig, PretrainedGroupsConfig, Welfare
from preflab_builtin.groups.folder import located_at
from preflab_builtin.groups.welfare import group_weights, weighted, worst
from preflab_builtin.reward_model.scoring import raw_scores


class GroupRewards:
    """The reward of each group: a frozen network, minus the offset of each head."""

    def __init__(self, model: HeadsModel, weights: list[float], runtime: Runtime) -> None:
        self.model, self.weights, self.runtime = model, weights, runtime
        model.module.requires_grad_(False)

    def of(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B, G] float32."""
        if not len(rollout):
            return torch.zeros(0, len(self.model.names), device=self.runtime.device)
        scores = raw_scores(self.model, rollout, self.runtime)
        return scores - scores.new_tensor(self.model.offsets)

    def network(self) -> ScalarModel:
        """One head, the weighted sum: what value functions start from."""
        return self.model.weighted(self.weights)


class WeightedReward:
    """`preflab.interfaces.RewardModel`, `HasNetwork`, `HasNetworks` and `OfMembers` (a member is a
    group): the weighted sum of the groups' rewards."""

    def __init__(self, rewards: GroupRewards) -> None:
        self._rewards = rewards

    @property
    def network(self) -> ScalarModel:
        """One head that scores as this does."""
        return self._rewards.network()

    @property
    def networks(self) -> Sequence[HeadsModel]:
        """The one with all heads."""
        return [self._rewards.model]

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        return weighted(self._rewards.of(rollout), self._rewards.weights)

    def members(self, rollout: Rollout) -> dict[str, torch.Tensor]:
        """The rewards [B] of each group by its name."""
        columns = self._rewards.of(rollout).unbind(1)
        return dict(zip(self._rewards.model.names, columns, strict=True))

    def together(self, members: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Their weighted sum."""
        return weighted(torch.stack(list(members.values()), 1), self._rewards.weights)


class WorstReward:
    """`preflab.interfaces.RewardModel`, `HasNetwork` and `HasNetworks`: the lowest of the groups'
    rewards, centred within each prompt of what is scored together;
    `preflab_builtin.groups.welfare.worst` says what a prompt with one response gets."""

    def __init__(self, rewards: GroupRewards) -> None:
        self._rewards = rewards

    @property
    def network(self) -> ScalarModel:
        """One head, the mean of the groups'."""
        return self._rewards.network()

    @property
    def networks(self) -> Sequence[HeadsModel]:
        """The one with all heads."""
        return [self._rewards.model]

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        keys = [(prompt.id, prompt.text) for prompt in rollout.prompts]
        return worst(self._rewards.of(rollout), keys)


def groups_reward(config: KwiseGroupsConfig, context: Context) -> RewardModel:
    """The reward model that the stage made."""
    return _reward(config, context, context.folder / "model")


def pretrained_groups(config: PretrainedGroupsConfig, context: Context) -> RewardModel:
    """The reward model in a folder."""
    return _reward(config, context, located_at(config.path))


def _reward(
    config: KwiseGroupsConfig | PretrainedGroupsConfig, context: Context, folder: Path
) -> RewardModel:
    model = context.load_heads(folder)
    weights = group_weights(config.welfare, model.names, model.shares, config.weights)
    rewards = GroupRewards(model, weights, context.runtime)
    return WorstReward(rewards) if config.welfare is Welfare.worst else WeightedReward(rewards)
