"""What is said before the first stage about choices that move the optimum."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.interfaces import Context
from preflab_builtin.group.config import GroupConfig, Place, Scale
from preflab_builtin.on_policy import inputs
from preflab_builtin.on_policy.config import KLEstimator


def preflight(config: GroupConfig, context: Context) -> Iterator[str]:
    """Which choices do not lead to the policy that maximises reward less coefficient times KL. The
    numbers are those of tests/conformance/test_closed_form.py: total variation from that policy
    on a bandit of three arms, and with responses of up to three tokens."""
    yield from inputs.preflight(config, context)
    if not config.kl.coef:
        return
    if config.kl.place is Place.loss:
        if config.kl.estimator is KLEstimator.k3:
            yield (
                "algorithm.kl.estimator=k3 in the loss is GRPO as published: its gradient is not "
                "that of the KL (the policy ends 0.09 off in total variation on a bandit)."
            )
        yield (
            "algorithm.kl.place=loss counts the KL of each token by itself, without the token's "
            "effect on the KL of later ones: with responses of several tokens the policy ends "
            "elsewhere than reward and KL say (0.11 off in total variation with up to three "
            "tokens). algorithm.kl.place=reward ends there."
        )
    if config.scale is Scale.group:
        yield (
            "algorithm.scale=group divides by each group's standard deviation, as GRPO was "
            "published: the KL coefficient then weighs less on prompts whose responses differ "
            "little. algorithm.scale=none keeps it one number."
        )
