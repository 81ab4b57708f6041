"""A given folder with heads of groups, read before any work and without torch."""

from __future__ import annotations

from pathlib import Path

from preflab import Inspection
from preflab_builtin.causal_lm.checking import Use
from preflab_builtin.groups.config import PretrainedGroupsConfig
from preflab_builtin.reward_model.config import PretrainedRewardConfig
from preflab_builtin.reward_model.folder import inspect, located


def place(config: PretrainedGroupsConfig) -> Path:
    """The model folder: the path itself, or the reward model that a run has trained."""
    return located(PretrainedRewardConfig(path=config.path))


def inspect_groups(config: PretrainedGroupsConfig) -> Inspection:
    """Digests of the weights, the facts about the heads and the tokenizer; `UserError` if it is not
    a model folder."""
    return inspect(PretrainedRewardConfig(path=config.path), Use.heads)
