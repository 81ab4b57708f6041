"""A classifier on the trunk of a causal language model: the network of scalar models, and of models
with several heads. D width."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from preflab.errors import UserError
from preflab_builtin.causal_lm.adapters import has_adapters


def classifier(config: Any, base: Any, pad_id: int, heads: int, generator: torch.Generator) -> Any:
    """A copy of the trunk ``base``, whose weights are whole or not there yet (meta), with as many
    heads [heads, D] without bias, all of them the same draw from N(0, 1/(D+1)) (Ziegler et al.
    2019). config: of the language model. Trained are the heads and all weights, or adapters where
    the trunk has them."""
    config = copy.deepcopy(config)
    config.num_labels = heads
    config.pad_token_id = pad_id
    with torch.device("meta"):
        module: Any = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    adapted = has_adapters(base)
    # Weights beside adapters stay as they are, so that both models can have them.
    shared = {id(p): p for p in base.parameters() if adapted and not p.requires_grad}
    setattr(module, module.base_model_prefix, copy.deepcopy(base, shared))
    width = module.score.in_features
    head = nn.Linear(width, heads, bias=False, device="meta", dtype=torch.float32)
    head = head.to_empty(device="cpu")  # draws nothing from torch's global stream
    with torch.no_grad():
        head.weight[:1].normal_(0.0, (width + 1) ** -0.5, generator=generator)
        head.weight[1:] = head.weight[:1]
    place = next(base.parameters()).device
    module.score = head if place.type == "meta" else head.to(place)
    trunk = f"{module.base_model_prefix}."
    parameters = module.named_parameters()
    leftover = [name for name, p in parameters if p.is_meta and not name.startswith(trunk)]
    if leftover:
        raise UserError(
            f"{type(module).__name__} has parameters besides backbone and head "
            f"({leftover[0]}): not supported."
        )
    for name, part in module.named_children():
        if not adapted or name != module.base_model_prefix:
            part.requires_grad_(True)
    return module
