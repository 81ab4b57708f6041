"""Training the heads: the K-wise training, with the heads of groups in the place of its one."""

from __future__ import annotations

from preflab.interfaces import Context
from preflab_builtin.groups.config import KwiseGroupsConfig
from preflab_builtin.groups.heads import GroupHeads
from preflab_builtin.reward_model.training import KwiseTraining


def groups_training(config: KwiseGroupsConfig, context: Context) -> KwiseTraining:
    """`preflab.interfaces.Procedure`: that of the kwise reward model."""
    return KwiseTraining(config.kwise, context, GroupHeads(config, context.key_of(config)))
