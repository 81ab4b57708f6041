"""Supervised fine-tuning on demonstrations, with residual dropout and a pretraining mix as
options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab_builtin.sft.config import SFTConfig


@hookimpl
def preflab_components() -> list[Component]:
    """Fine-tuning on demonstrations."""
    from preflab_builtin.sft.config import SFTConfig

    procedure = "preflab_builtin.sft.training:SupervisedFineTuning"
    preflight = "preflab_builtin.sft.preflight:preflight"
    return [
        Component(
            "sft",
            "demonstrations",
            SFTConfig,
            procedure=procedure,
            needs=_needs,
            preflight=preflight,
            checkpoint=SFTConfig.checkpoint,
        )
    ]


def _needs(config: SFTConfig) -> tuple[str, ...]:
    return ("demonstrations", "documents") if config.mix_coef else ("demonstrations",)
