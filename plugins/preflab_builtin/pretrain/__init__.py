"""The pretraining stage: makes a model from scratch read documents, so that there is something to fine-tune."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.pretrain.config import PretrainConfig
    from preflab_builtin.pretrain.training import Pretraining


@hookimpl
def preflab_components() -> list[Component]:
    """Pretraining, and none."""
    from preflab_builtin.pretrain.config import NoPretrainConfig, PretrainConfig

    return [
        Component("pretrain", "documents", PretrainConfig, procedure=_procedure, needs=_needs),
        Component("pretrain", "none", NoPretrainConfig),
    ]


def _procedure(config: PretrainConfig, context: Context) -> Pretraining:
    from preflab_builtin.pretrain.training import Pretraining

    return Pretraining(config, context)


def _needs(config: PretrainConfig) -> tuple[str, ...]:
    return ("documents",)
