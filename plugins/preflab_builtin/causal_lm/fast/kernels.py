"""Pieces of a forward pass with hand-written backward passes: fewer passes over memory, and less
kept for the backward pass, than the same formulas with autograd.

Shapes: N tokens, D width, F width of the MLP, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn.functional import linear, silu

LINEAR, CUBIC = 2 * math.sqrt(2 / math.pi), 2 * math.sqrt(2 / math.pi) * 0.044715
"""GPT-2's gelu: 0.5 x (1 + tanh(u / 2)) = x sigmoid(u) with u = x (LINEAR + CUBIC x^2): one
sigmoid, no tanh."""
FEWEST_ROWS, CACHED_LOGITS = 128, 2**19
"""Rows of logits made at a time on a CPU: what fits its cache (2 MB), but enough to keep a matrix
product busy, also where a vocabulary is large."""
GPU_LOGITS = 2**26
"""Logits made at a time on a GPU (256 MB)."""
KEPT_LOGITS = 2**23
"""Up to this many logits (32 MB) their probabilities are kept for the backward pass."""


def applied(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    """``function.apply``, which torch leaves untyped."""
    return function.apply(*arguments)  # type: ignore[no-untyped-call]


def kernels_fit(x: torch.Tensor) -> bool:
    """Whether the MLPs of this file are to be used: on a GPU the libraries' own are fused, and
    under autocast a hand-written backward pass would meet two number formats."""
    return not x.is_cuda and not torch.is_autocast_enabled(x.device.type)


def _gate(x: torch.Tensor) -> torch.Tensor:
    """sigmoid(u) of gelu (the tanh approximation, Hendrycks and Gimpel 2016), [N, F]."""
    return (
        torch.addcmul(torch.full((), LINEAR, dtype=x.dtype, device=x.device), x, x, value=CUBIC)
        .mul_(x)
        .sigmoid_()
    )


def gelu(x: torch.Tensor) -> torch.Tensor:
    """GPT-2's gelu of x [N, F], without autograd: one sigmoid, on a CPU a quarter faster than
    torch's, which computes a tanh."""
    return _gate(x).mul_(x)


class GeluMLP(torch.autograd.Function):
    """x [N, D] -> gelu(x w1 + b1) w2 + b2; w1 [D, F], w2 [F, D] as GPT-2 stores them. Keeps only x
    and x w1 + b1."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        w1: torch.Tensor,
        b1: torch.Tensor,
        w2: torch.Tensor,
        b2: torch.Tensor,
    ) -> torch.Tensor:
        inner = torch.addmm(b1, x, w1)
        ctx.save_for_backward(x, inner, w1, w2)
        return torch.addmm(b2, gelu(inner), w2)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, inner, w1, w2 = ctx.saved_tensors
        (out,) = gradients
        gate = _gate(inner)
        active = gate * inner
        needs_x, needs_w1, needs_b1, needs_w2, needs_b2 = ctx.needs_input_grad
        d_w2 = active.t() @ out if needs_w2 else None
        d_b2 = out.sum(0) if needs_b2 else None
        # d gelu / dx = s + x s (1 - s) u' with u' = LINEAR + 3 CUBIC x^2
        slope = torch.addcmul(
            torch.full((), LINEAR, dtype=x.dtype, device=x.device), inner, inner, value=3 * CUBIC
        )
        slope.mul_(torch.addcmul(active, active, gate, value=-1)).add_(gate)
        d_inner = torch.mm(out, w2.t()).mul_(slope)
        d_x = d_inner @ w1.t() if needs_x else None
        d_w1 = x.t() @ d_inner if needs_w1 else None
        return d_x, d_w1, d_inner.sum(0) if needs_b1 else None, d_w2, d_b2


class SwigluMLP(torch.autograd.Function):
    """x [N, D] -> (silu(x gate^T) * (x up^T)) down^T; gate and up [F, D], down [D, F] as Llama
    stores them. Keeps only x and its products with gate and up."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, gate: torch.Tensor, up: torch.Tensor, down: torch.Tensor
    ) -> torch.Tensor:
        x_gate, x_up = linear(x, gate), linear(x, up)
        ctx.save_for_backward(x, x_gate, x_up, gate, up, down)
        return linear(silu(x_gate).mul_(x_up), down)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, x_gate, x_up, gate, up, down = ctx.saved_tensors
        (out,) = gradients
        sigmoid = x_gate.sigmoid()
        active = x_gate * sigmoid
        inner = active * x_up
        needs_x, needs_gate, needs_up, needs_down = ctx.needs_input_grad
        d_down = out.t() @ inner if needs_down else None
        d_inner = out @ down
        # d silu / dx = s + x s (1 - s)
        slope = torch.addcmul(sigmoid, active, 1 - sigmoid)
        d_x_gate, d_x_up = slope.mul_(d_inner).mul_(x_up), active.mul_(d_inner)
        d_x = torch.addmm(d_x_gate @ gate, d_x_up, up) if needs_x else None
        d_gate = d_x_gate.t() @ x if needs_gate else None
        return d_x, d_gate, d_x_up.t() @ x if needs_up else None, d_down


def _pieces(rows: int, weight: torch.Tensor) -> list[slice]:
    """Rows in pieces whose logits fit the cache."""
    limit = GPU_LOGITS if weight.is_cuda else CACHED_LOGITS
    size = max(FEWEST_ROWS, limit // len(weight))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _scaled_logits(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, temperature: float
) -> torch.Tensor:
    """[rows, V]. On a CPU it is the transposed view of [V, rows]: with a large vocabulary and few
    rows MKL computes these up to twice as fast, and sums over V are sums of whole rows."""
    if hidden.is_cuda:
        logits = linear(hidden, weight, bias)
    elif bias is None:
        logits = (weight @ hidden.t()).t()
    else:
        logits = torch.addmm(bias[:, None], weight, hidden.t()).t()
    return logits if temperature == 1.0 else logits.div_(temperature)


class HeadLogProbs(torch.autograd.Function):
    """Log-probs [N] of ids [N] under softmax((hidden weight^T + bias) / temperature), and
    entropies [N] in nats (no gradient).

    hidden [N, D], weight [V, D], bias [V] or None; all float32. Of many logits no more than a
    piece is in memory at a time; the backward pass computes them again (2 N V D operations more)
    and never stores their gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        ids: torch.Tensor,
        temperature: float,
        with_entropy: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert len(ids) == len(hidden), "there must be one token per hidden state"
        normalisers, log_probs, entropies = (hidden.new_zeros(len(hidden)) for _ in range(3))
        keeps = any(ctx.needs_input_grad) and len(hidden) * len(weight) <= KEPT_LOGITS
        ctx.kept = list[torch.Tensor]()
        for piece in _pieces(len(hidden), weight):
            logits = _scaled_logits(hidden[piece], weight, bias, temperature)
            chosen = logits.gather(1, ids[piece, None]).squeeze(1)
            largest = logits.amax(1, keepdim=True)
            if with_entropy:
                shifted = logits - largest
                powers = shifted.exp()
                total = powers.sum(1)
                entropies[piece] = total.log() - shifted.mul_(powers).sum(1) / total
            else:
                powers = logits.sub_(largest).exp_()
                total = powers.sum(1)
            if keeps:
                ctx.kept.append(powers.div_(total[:, None]))
            # Minus the largest logit first: where all are near -100, their size would cost digits.
            log_probs[piece] = (chosen - largest.squeeze(1)) - total.log()
            normalisers[piece] = total.log() + largest.squeeze(1)
        ctx.save_for_backward(hidden, weight, bias, ids, normalisers)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(entropies)
        return log_probs, entropies

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, bias, ids, normalisers = ctx.saved_tensors
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        outer = gradients[0] / ctx.temperature
        d_hidden = torch.empty_like(hidden) if needs_hidden else None
        d_weight = torch.zeros_like(weight) if needs_weight else None
        d_bias = torch.zeros_like(bias) if bias is not None and needs_bias else None
        for number, piece in enumerate(_pieces(len(hidden), weight)):
            if ctx.kept:
                p = ctx.kept[number]
            else:
                logits = _scaled_logits(hidden[piece], weight, bias, ctx.temperature)
                p = logits.sub_(normalisers[piece, None]).exp_()
            # d log p(id) / d logits = onehot(id) - p
            slope = outer[piece, None]
            d_logits = (p * -slope).scatter_add_(1, ids[piece, None], slope)
            if d_hidden is not None:
                torch.mm(d_logits, weight, out=d_hidden[piece])
            if d_weight is not None:
                d_weight.addmm_(d_logits.t(), hidden[piece])
            if d_bias is not None:
                d_bias.add_(d_logits.sum(0))
        return d_hidden, d_weight, d_bias, None, None, None


def head_log_probs(
    head: Any, hidden: torch.Tensor, ids: torch.Tensor, temperature: float, with_entropy: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """`HeadLogProbs` of an unembedding, in float32 also under autocast."""
    with torch.autocast(hidden.device.type, enabled=False):
        out: tuple[torch.Tensor, torch.Tensor] = applied(
            HeadLogProbs, hidden.float(), head.weight, head.bias, ids, temperature, with_entropy
        )
    return out
