"""What is said before the first stage about choices that move the optimum."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.interfaces import Context
from preflab.lengths import check_prompts
from preflab_builtin.group.config import GroupConfig, Place, Scale
from preflab_builtin.on_policy.config import KLEstimator


def preflight(config: GroupConfig, context: Context) -> Iterator[str]:
    """Which choices do not lead to the policy that maximises reward less coefficient times KL. The
    numbers are those of tests/conformance/test_closed_form.py: total variation from that policy
    on a bandit of three arms. `UserError` for a prompt that is too long."""
    check_prompts(context, context.records("prompts", "train"))
    if not config.kl.coef:
        return
    if config.kl.place is Place.loss and config.kl.estimator is KLEstimator.k3:
        yield (
            "algorithm.kl.estimator=k3 in the loss is GRPO as published: its gradient is not that "
            "of the KL, and the policy ends elsewhere than reward and KL say (0.09 off in total "
            "variation on a bandit). algorithm.kl.estimator=weighted_k3 or algorithm.kl.place="
            "reward ends there."
        )
    if config.scale is Scale.group:
        yield (
            "algorithm.scale=group divides by each group's standard deviation, as GRPO was "
            "published: the KL coefficient then weighs less on prompts whose responses differ "
            "little. algorithm.scale=none keeps it one number."
        )
