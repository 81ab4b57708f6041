"""A given folder with several heads, read before any work and without torch."""

from __future__ import annotations

from pathlib import Path

from preflab import Inspection
from preflab_builtin.causal_lm.checking import Use
from preflab_builtin.groups.config import PretrainedGroupsConfig, PretrainedMeanVarianceConfig
from preflab_builtin.reward_model.config import PretrainedRewardConfig
from preflab_builtin.reward_model.folder import inspect, located


def located_at(path: str) -> Path:
    """The model folder: the path itself, or the reward model that a run has trained."""
    return located(PretrainedRewardConfig(path=path))


def inspect_heads(config: PretrainedGroupsConfig | PretrainedMeanVarianceConfig) -> Inspection:
    """Digests of the weights, the facts about the heads and the tokenizer; `UserError` if it is not
    a model folder."""
    return inspect(PretrainedRewardConfig(path=config.path), Use.heads)
