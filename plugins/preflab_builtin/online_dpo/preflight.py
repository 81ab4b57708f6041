"""What is said before the first stage about choices that move the optimum."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.interfaces import Context
from preflab_builtin.on_policy import inputs
from preflab_builtin.online_dpo.config import Labels, OnlineDPOConfig


def preflight(config: OnlineDPOConfig, context: Context) -> Iterator[str]:
    """Which choices do not lead to the policy that maximises reward less coefficient times KL. The
    numbers are those of tests/conformance/test_closed_form.py."""
    yield from inputs.preflight(config, context)
    if config.labels is Labels.higher:
        yield (
            "algorithm.labels=higher calls the higher score better however little it is higher, as "
            "online DPO was published: the policy then ends elsewhere than reward and KL say (0.20 "
            "off in total variation on a bandit, 0.39 with loss=ipo). algorithm.labels="
            "bradley_terry algorithm.loss=dpo ends there."
        )
