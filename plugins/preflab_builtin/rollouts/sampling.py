"""Drawing tokens: inverse transform sampling with noise that is fixed before decoding starts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from preflab.randomness import derive_seed


def row_noise(seed: Sequence[int | str], rows: Sequence[int], steps: int) -> torch.Tensor:
    """Uniform numbers in [0, 1), float64 [len(rows), steps]: those of a row are a function of (seed, row number) alone."""
    noise = torch.empty(len(rows), steps, dtype=torch.float64)
    generator = torch.Generator()
    for i, row in enumerate(rows):
        generator.manual_seed(derive_seed(*seed, row))
        noise[i] = torch.rand(steps, dtype=torch.float64, generator=generator)
    return noise


def draw(logits: torch.Tensor, noise: torch.Tensor, temperature: float) -> torch.Tensor:
    """logits [B, V], noise [B] in [0, 1) -> tokens [B]: the first token at which the cumulative distribution of
    softmax(logits / temperature) passes the noise. temperature 0: the likeliest token. Nothing is masked or cut."""
    if temperature == 0:
        return logits.argmax(-1)
    # float64, because in float32 the sum of 50,000 probabilities is off by more than the rare ones among them.
    cumulative = (logits.double() / temperature).softmax(-1).cumsum(-1)
    threshold = noise.to(cumulative)[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, threshold, right=True).squeeze(-1).clamp_max(logits.shape[-1] - 1)
