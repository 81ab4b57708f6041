"""Supervised fine-tuning on demonstrations, with residual dropout and a pretraining mix as options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.sft.config import SFTConfig
    from preflab_builtin.sft.training import SupervisedFineTuning


@hookimpl
def preflab_components() -> list[Component]:
    """Fine-tuning, and none."""
    from preflab_builtin.sft.config import NoSFTConfig, SFTConfig

    return [
        Component("sft", "demonstrations", SFTConfig, procedure=_procedure, needs=_needs),
        Component("sft", "none", NoSFTConfig),
    ]


def _procedure(config: SFTConfig, context: Context) -> SupervisedFineTuning:
    from preflab_builtin.sft.training import SupervisedFineTuning

    return SupervisedFineTuning(config, context)


def _needs(config: SFTConfig) -> tuple[str, ...]:
    return ("demonstrations", "documents") if config.mix_coef else ("demonstrations",)
