"""Drawing a token: inverse transform sampling of the whole softmax."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from preflab_builtin.rollouts.sampling import draw, row_noise


def test_draw_takes_the_first_token_that_passes_the_noise() -> None:
    logits = torch.log(torch.tensor([0.2, 0.0, 0.3, 0.5, 0.0])).repeat(6, 1)
    # Cumulative .2 .2 .5 1 1: tokens of probability 0 are never drawn, not even by noise on an
    # edge.
    noise = torch.tensor([0.0, 0.199, 0.201, 0.499, 0.501, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits, noise, 1.0).tolist() == [0, 0, 2, 2, 3, 3]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_frequencies_are_the_softmax(temperature: float) -> None:
    logits = torch.log(torch.tensor([0.05, 0.1, 0.2, 0.25, 0.4]))
    noise = row_noise((5, "frequencies"), range(200), 100).flatten()  # 20,000 draws from 200 rows
    counts = draw(logits.expand(20_000, 5), noise, temperature).bincount(minlength=5)
    # temperature .5 squares the probabilities: .0025 .01 .04 .0625 .16 over .275
    expected = torch.tensor([0.05, 0.1, 0.2, 0.25, 0.4], dtype=torch.float64) ** (1 / temperature)
    assert chisquare(counts.numpy(), (20_000 * expected / expected.sum()).numpy()).pvalue > 1e-3


def test_nan_logits_draw_a_token_of_the_vocabulary() -> None:
    """What is drawn is meaningless, which later guards report; a token that does not exist
    would be a crash."""
    tokens = draw(
        torch.full((2, 130), float("nan")), torch.tensor([0.0, 0.9], dtype=torch.float64), 1.0
    )
    assert bool(((tokens >= 0) & (tokens < 130)).all())


def test_blocks_of_a_large_vocabulary_draw_as_one_sum_does() -> None:
    """300 tokens are 5 blocks, the last of them part empty; the definition is one float64 sum."""
    generator = torch.Generator().manual_seed(0)
    logits, noise = (
        3 * torch.randn(500, 300, generator=generator),
        torch.rand(500, dtype=torch.float64, generator=generator),
    )
    cumulative = logits.double().softmax(-1).cumsum(-1)
    expected = (cumulative <= noise[:, None] * cumulative[:, -1:]).sum(-1)
    assert torch.equal(draw(logits, noise, 1.0), expected)
