"""Selection: which SFT checkpoint goes on (InstructGPT C.1: the one with the highest reward-model score)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.select.config import RewardSelectionConfig
    from preflab_builtin.select.selection import RewardSelection


@hookimpl
def preflab_components() -> list[Component]:
    """The last checkpoint, or the best by reward."""
    from preflab_builtin.select.config import LastConfig, RewardSelectionConfig

    def needs(config: RewardSelectionConfig) -> tuple[str, ...]:
        return ("prompts", "reward_model")

    return [
        Component("select", "last", LastConfig),
        Component(
            "select", "reward_model", RewardSelectionConfig, procedure=_selection, needs=needs
        ),
    ]


def _selection(config: RewardSelectionConfig, context: Context) -> RewardSelection:
    from preflab_builtin.select.selection import RewardSelection

    return RewardSelection(config, context)
