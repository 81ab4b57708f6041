"""Reordered matrices give the same products, and are used only where no gradient is needed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from preflab_builtin.causal_lm.fast import projections
from preflab_builtin.causal_lm.fast.projections import (
    MergedProjections,
    ReorderedProjections,
    project,
    projections_for_decoding,
)

CPU = torch.device("cpu")


def examples() -> list[Any]:
    """12 in, 20 out: as Llama stores it, with and without a bias, and as GPT-2 does."""
    torch.manual_seed(0)
    conv: Any = Conv1D(20, 12)  # type: ignore[no-untyped-call]
    nn.init.normal_(conv.bias)  # zeros otherwise: their absence would not show
    return [nn.Linear(12, 20, bias=False), nn.Linear(12, 20), conv]


needs_both = pytest.mark.skipif(
    not projections.reordering_available(), reason="torch has no MKL or no oneDNN here"
)


@needs_both
@pytest.mark.parametrize("number", range(3))
def test_reordered_matrices_give_the_same_product(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "SMALLEST_MATRIX", 0)
    projection, reordered = examples()[number], ReorderedProjections()
    with torch.no_grad():
        for rows in (8, 1, 33):  # reordered for the first, used for all
            tokens = torch.randn(rows, 12)
            assert torch.allclose(reordered(projection, tokens), projection(tokens), atol=1e-6)
            assert torch.equal(project(projection, tokens), projection(tokens))
    assert list(reordered.matrices) == [projection]


def test_small_matrices_and_other_formats_stay_as_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reordered, projection = ReorderedProjections(), nn.Linear(12, 20)
    with torch.no_grad():
        assert torch.equal(reordered(projection, torch.ones(2, 12)), projection(torch.ones(2, 12)))
        monkeypatch.setattr(projections, "SMALLEST_MATRIX", 0)
        double = nn.Linear(12, 20).double()
        assert torch.equal(
            reordered(double, torch.ones(2, 12).double()), double(torch.ones(2, 12).double())
        )
        # What comes out of attention then is not float32.
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert reordered(projection, torch.ones(2, 12).bfloat16()).shape == (2, 20)
    assert reordered(projection, torch.ones(2, 12)).requires_grad
    assert reordered.matrices == {}


@needs_both
def test_only_decoding_without_gradients_and_autocast_gets_it() -> None:
    assert isinstance(projections_for_decoding(CPU), MergedProjections)
    with torch.no_grad():
        assert isinstance(projections_for_decoding(CPU), ReorderedProjections)
        assert isinstance(projections_for_decoding(torch.device("meta")), MergedProjections)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert isinstance(projections_for_decoding(CPU), MergedProjections)
