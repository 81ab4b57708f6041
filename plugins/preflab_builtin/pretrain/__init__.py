"""The pretraining stage: a model made from scratch reads documents before it is fine-tuned. Its
stream of windows also serves SFT's pretraining mix and the ptx term."""

from __future__ import annotations

from preflab import Component, hookimpl
from preflab.components import keeps_none


@hookimpl
def preflab_components() -> list[Component]:
    """Pretraining on documents."""
    from preflab_builtin.pretrain.config import PretrainConfig

    procedure = "preflab_builtin.pretrain.training:Pretraining"
    needs = ("documents",)
    preflight = "preflab_builtin.pretrain.preflight:preflight"
    return [
        Component(
            "pretrain",
            "documents",
            PretrainConfig,
            procedure=procedure,
            needs=needs,
            preflight=preflight,
            checkpoint=keeps_none,
        )
    ]
