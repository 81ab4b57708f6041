"""Drawing tokens: inverse transform sampling with noise that is fixed before decoding starts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from preflab.randomness import derive_seed

BLOCK = 64
"""Tokens whose probabilities are summed first when a token is drawn."""


def row_noise(seed: Sequence[int | str], rows: Sequence[int], steps: int) -> torch.Tensor:
    """Uniform numbers in [0, 1), float64 [len(rows), steps]: those of a row are a function of
    (seed, row number) alone."""
    noise = torch.empty(len(rows), steps, dtype=torch.float64)
    generator = torch.Generator()
    for i, row in enumerate(rows):
        generator.manual_seed(derive_seed(*seed, row))
        noise[i] = torch.rand(steps, dtype=torch.float64, generator=generator)
    return noise


def log_probs_of(tokens: torch.Tensor, logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """log softmax(logits / temperature) of the drawn tokens: tokens [B], logits [B, V] -> [B]
    float32."""
    scaled = logits.float() / temperature
    return scaled.gather(-1, tokens[:, None]).squeeze(-1) - scaled.logsumexp(-1)


def draw(logits: torch.Tensor, noise: torch.Tensor, temperature: float) -> torch.Tensor:
    """logits [B, V], noise [B] in [0, 1) -> tokens [B]: the first token at which the cumulative
    distribution of softmax(logits / temperature) passes the noise. temperature 0: the likeliest
    token. Nothing is masked or cut.

    The distribution is summed in blocks of tokens, and within the block that the noise falls into:
    two short sums instead of one over V. Sums are float64, because in float32 the sum of 50,000
    probabilities is off by more than the rare ones among them.
    """
    if temperature == 0:
        return logits.argmax(-1)
    largest = logits.amax(-1, keepdim=True) / temperature
    scaled = logits.float() / temperature if temperature != 1.0 else logits.float()
    powers = scaled.sub(largest).exp_()
    padded = nn.functional.pad(powers, (0, -logits.shape[-1] % BLOCK))
    blocks = padded.reshape(len(powers), -1, BLOCK)
    sums = blocks.sum(-1, dtype=torch.float64).cumsum(-1)
    threshold = noise.to(sums)[:, None] * sums[:, -1:]
    block = torch.searchsorted(sums, threshold, right=True).clamp_max(sums.shape[-1] - 1)
    before = nn.functional.pad(sums, (1, 0)).gather(-1, block)
    within = blocks.take_along_dim(block[..., None], 1).squeeze(1).double().cumsum(-1)
    # Rounding may leave the noise one bit above the block's own sum: then it is the last token of
    # the block that has a probability.
    below_sum = within[:, -1:].nextafter(torch.zeros_like(within[:, -1:]))
    place = torch.searchsorted(within, torch.minimum(threshold - before, below_sum), right=True)
    # With nan logits the place is after the last token.
    return (block * BLOCK + place).squeeze(-1).clamp_max(logits.shape[-1] - 1)
