"""Scores of several reward models, and what they become. Shapes: B rows, M members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from preflab.interfaces import (
    Backbone,
    Context,
    HasNetwork,
    RewardModel,
    RewardShaping,
    ScalarModel,
)
from preflab.offload import networks_of
from preflab.records import Rollout
from preflab.shaping import shaped
from preflab_builtin.combined.config import Combine, CombinedConfig


def combined_scores(members: Mapping[str, torch.Tensor], config: CombinedConfig) -> torch.Tensor:
    """The rewards [B] of the members' scores, [B] each. The standard deviation is that of the
    members as a population."""
    scores = torch.stack(list(members.values()))
    if config.combine is Combine.sum:
        weights = [config.weights.get(name, 1.0) for name in members]
        return (torch.tensor(weights, device=scores.device)[:, None] * scores).sum(0)
    if config.combine is Combine.minimum:
        return scores.amin(0)
    mean = scores.mean(0)
    if config.combine is Combine.lower_bound:
        return mean - config.spread * ((scores - mean) ** 2).mean(0).sqrt()
    return mean


class CombinedReward:
    """`preflab.interfaces.RewardModel`, `OfMembers`, `HasNetworks` and `HasNetwork`: value
    functions start from the network of the first member that has one."""

    def __init__(
        self,
        config: CombinedConfig,
        models: Mapping[str, RewardModel],
        shapings: Mapping[str, RewardShaping],
    ) -> None:
        self.config, self.models, self.shapings = config, models, shapings

    @property
    def network(self) -> ScalarModel | None:
        """None if no member has one."""
        models = self.models.values()
        return next((m.network for m in models if isinstance(m, HasNetwork) and m.network), None)

    @property
    def networks(self) -> Sequence[Backbone]:
        """Those of the members, in their order."""
        return [network for model in self.models.values() for network in networks_of(model)]

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        return self.together(self.members(rollout))

    def members(self, rollout: Rollout) -> dict[str, torch.Tensor]:
        """The scores of each member, shaped, [B] float32."""
        return {name: self._of(name, model, rollout) for name, model in self.models.items()}

    def _of(self, name: str, model: RewardModel, rollout: Rollout) -> torch.Tensor:
        scores = model.score(rollout).to(rollout.prompt_ids.device).float()
        own = {name: self.shapings[name]} if name in self.shapings else {}
        return shaped(own, scores, rollout)[0]

    def together(self, members: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Rewards [B] float32."""
        return combined_scores(members, self.config)


def combined(config: CombinedConfig, context: Context) -> CombinedReward:
    """The reward model of the members that the stage made, and of those that are not made."""
    models = {
        name: context.within(name).component("reward_model", member)
        for name, member in config.members.items()
    }
    shapings = {
        name: context.component("reward_shaping", shaping)
        for name, shaping in config.shaping.items()
    }
    return CombinedReward(config, models, shapings)
