"""The text that stands for weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from preflab_builtin.causal_lm.versions import _sum_of_bits
from support import FakeContext


@pytest.mark.parametrize(
    "shape", [(7, 6), (7, 5), (9,), (4, 3, 2), (1, 1), (3, 0)], ids=lambda shape: str(list(shape))
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.uint8])
def test_the_bits_of_parts_add_up_to_those_of_the_whole(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(1)
    tensor = (torch.randn(shape, generator=generator) * 9).to(dtype)
    for border in range(len(tensor) + 1):
        parts = [_sum_of_bits(part.clone()) for part in (tensor[:border], tensor[border:])]
        assert parts[0] + parts[1] == _sum_of_bits(tensor)  # both modulo 2^64


def test_a_changed_bit_changes_the_version(tmp_path: Path) -> None:
    policy = FakeContext(tmp_path).policy("base")
    before = policy.version
    for parameter in policy.module.parameters():
        bits = parameter.detach().view(torch.int32).view(-1)
        bits[0] ^= 1
        assert policy.version != before
        bits[0] ^= 1
        assert policy.version == before
