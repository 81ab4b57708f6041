"""Counting what a pass through a transformer computes (`preflab.cost.WORK`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from preflab.cost import WORK
from preflab_builtin.causal_lm.fast.low_rank import low_rank
from preflab_builtin.causal_lm.quantised import numbers


class PassCost:
    """Counts the passes of a transformers module's base model: all but the head."""

    def __init__(self, module: Any) -> None:
        self.base: nn.Module = getattr(module, module.base_model_prefix)
        self.matrices = matrix_size(self.base)
        self.parameters = sum(numbers(p) for p in self.base.parameters())
        self.adapted = any(low_rank(part) is not None for part in self.base.modules())
        config = module.config.get_text_config()  # a model of pictures and text has one inside
        self.layers, self.width = config.num_hidden_layers, config.hidden_size

    def count(self, tokens: int, pairs: int, left_out: int = 0, pairs_left_out: int = 0) -> None:
        """Count a pass: tokens, pairs of a token and one that it sees, and how many of both the
        last layer left out. Training counts twice more, for the share of the parameters that is
        trained; beside adapters once more for all of them, and once for that share."""
        trained = 0.0
        if torch.is_grad_enabled():
            learn = sum(p.numel() for p in self.base.parameters() if p.requires_grad)
            trained = learn / self.parameters
            if self.adapted:  # gradients pass through every frozen matrix and are taken of none
                trained = (1 + trained) / 2
        linear = 2 * self.matrices * (tokens - left_out / self.layers)
        attention = 4 * self.width * (self.layers * pairs - pairs_left_out)
        WORK.add(tokens, (linear + attention) * (1 + 2 * trained))


def count_head(head: Any, rows: int, trained: bool = False) -> None:
    """Count the logits of ``rows`` hidden states."""
    WORK.add(0, 2 * rows * sum(p.numel() for p in head.parameters()) * (3 if trained else 1))


def matrix_size(base: nn.Module) -> int:
    """Numbers in the matrices that every token is multiplied with: all but embeddings, norms,
    biases."""
    tables = {id(part.weight) for part in base.modules() if isinstance(part, nn.Embedding)}
    return sum(numbers(p) for p in base.parameters() if p.dim() == 2 and id(p) not in tables)
