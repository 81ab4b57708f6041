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
    label_smoothing: float | torch.Tensor = 0.0,
) -> torch.Tensor:
    """The loss of each pair [P], of any loss but kto (see `kto_losses`).

    better, worse [P]: for dpo and ipo log pi - log pi_reference of the preferred and of the other
    response, summed over its tokens and its end token; for simpo log pi, averaged over them.

    dpo: -log sigmoid(beta (better - worse)) (Rafailov et al. 2023, equation 7); label_smoothing: of
    Mitchell's conservative form, one number or one per pair [P]. ipo: (better - worse - 1 / (2
    beta))^2 (Azar et al. 2023, equation 17; sums and not means over tokens, as it is derived).
    simpo: -log sigmoid(beta (better - worse) - margin) (Meng et al. 2024, equation 6)."""
    difference = better - worse
    if loss is Loss.ipo:
        return (difference - 1 / (2 * beta)) ** 2
    if loss is Loss.simpo:
        return -logsigmoid(beta * difference - margin)
    right, wrong = logsigmoid(beta * difference), logsigmoid(-beta * difference)
    return -(1 - label_smoothing) * right - label_smoothing * wrong


def kto_losses(
    liked: torch.Tensor,
    disliked: torch.Tensor,
    kl: torch.Tensor,
    beta: float,
    liked_weight: float = 1.0,
    disliked_weight: float = 1.0,
) -> torch.Tensor:
    """The loss of each pair [P], the mean of its two responses, each judged by itself
    (Ethayarajh et al. 2024, equations 6 to 8): weight (1 - sigmoid(beta (liked - kl))) and weight
    (1 - sigmoid(beta (kl - disliked))).

    liked, disliked [P]: log pi - log pi_reference of a response, summed over its tokens and its end
    token. kl: what `reference_point` gives, without a gradient."""
    worth = torch.sigmoid(beta * (liked - kl)), torch.sigmoid(beta * (kl - disliked))
    return (liked_weight * (1 - worth[0]) + disliked_weight * (1 - worth[1])) / 2


def reference_point(log_ratios: torch.Tensor) -> torch.Tensor:
    """KTO's estimate of KL(pi || pi_reference), a scalar, of log pi - log pi_reference of responses
    that stand after prompts that they do not answer [N]: max(0, their mean)."""
    return log_ratios.mean().clamp(min=0)
