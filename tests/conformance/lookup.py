"""A plugin of one file: a reward that is a table of texts, so that what maximises it can be
worked out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from preflab import Component, hookimpl, option

if TYPE_CHECKING:
    from preflab.interfaces import Context, RewardModel


@dataclass
class LookupConfig:
    """A reward for each text."""

    name: str = option("lookup", "component")
    texts: list[str] = option(factory=list, doc="responses that have a reward; others have 0")
    rewards: list[float] = option(factory=list, doc="their rewards, in the same order")


@hookimpl
def preflab_components() -> list[Component]:
    """The reward."""
    return [Component("reward_model", "lookup", LookupConfig, build=_build)]


def _build(config: LookupConfig, context: Context) -> RewardModel:
    from preflab.rewards import FunctionReward

    table = dict(zip(config.texts, config.rewards, strict=True))
    return FunctionReward(lambda prompt, text: table.get(text, 0.0))
