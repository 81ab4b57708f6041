"""Losses of pairs as pure functions. Shapes: P pairs."""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid

from preflab_builtin.preference.config import Loss


def pair_losses(
    better: torch.Tensor,
    worse: torch.Tensor,
    loss: Loss,
    beta: float,
    margin: float = 0.0,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """The loss of each pair [P].

    better, worse [P]: for dpo and ipo log pi - log pi_reference of the preferred and of the other
    response, summed over its tokens and its end token; for simpo log pi, averaged over them.

    dpo: -log sigmoid(beta (better - worse)) (Rafailov et al. 2023, equation 7); label_smoothing: of
    Mitchell's conservative form. ipo: (better - worse - 1 / (2 beta))^2 (Azar et al. 2023,
    equation 17; sums and not means over tokens, as it is derived). simpo: -log sigmoid(beta (better
    - worse) - margin) (Meng et al. 2024, equation 6)."""
    difference = better - worse
    if loss is Loss.ipo:
        return (difference - 1 / (2 * beta)) ** 2
    if loss is Loss.simpo:
        return -logsigmoid(beta * difference - margin)
    right, wrong = logsigmoid(beta * difference), logsigmoid(-beta * difference)
    return -(1 - label_smoothing) * right - label_smoothing * wrong
