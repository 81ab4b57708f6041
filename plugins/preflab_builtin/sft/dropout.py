"""Residual dropout that does not depend on how a step's rows are split into micro-batches or
processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from preflab.errors import UserError
from preflab.randomness import derive_seed

BRANCH_ENDS = (
    "o_proj",
    "down_proj",
    "c_proj",
    "out_proj",
    "fc2",
    "dense_4h_to_h",
    "attention.dense",
    "wo",
)
"""Names of the projections whose output is added to the residual stream, in the families of
transformers."""


def branch_ends(module: torch.nn.Module) -> list[torch.nn.Module]:
    """The last projection of every attention and MLP block; `UserError` if the architecture has
    none that we know."""
    ends = [
        part
        for name, part in module.named_modules()
        if any(name.endswith(f".{end}") for end in BRANCH_ENDS)
    ]
    if not ends:
        raise UserError(
            f"sft.dropout: {type(module).__name__} has no residual branch that preflab knows. Set "
            "sft.dropout=0."
        )
    return ends


@dataclass(frozen=True)
class RowDropout:
    """A forward hook that drops units of a branch's output: [B, T, D] of right-padded rows, or [N,
    D], their tokens without pads. lengths: real tokens of each row; a row's noise comes from its
    own generator."""

    probability: float
    lengths: Sequence[int]
    generators: Sequence[torch.Generator]
    takes_tokens = True

    def __call__(self, part: torch.nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        scale = torch.zeros(output.shape, dtype=torch.float32)
        start = 0
        for i, (length, generator) in enumerate(zip(self.lengths, self.generators, strict=True)):
            stays = torch.rand(length, output.shape[-1], generator=generator) >= self.probability
            rows = scale[start : start + length] if output.dim() == 2 else scale[i, :length]
            rows.copy_(stays / (1 - self.probability))
            start += length
        return output * scale.to(output)


@contextmanager
def residual_dropout(
    module: torch.nn.Module,
    probability: float,
    lengths: Sequence[int],
    seeds: Sequence[Sequence[int | str]],
) -> Iterator[None]:
    """Within it every residual branch drops units with ``probability`` and scales the rest by 1 /
    (1 - probability).

    lengths: real tokens of each row of the right-padded batch; seeds: the name of each row's noise.
    A row's noise covers its real tokens only, so padding, batch mates and the number of processes
    do not change it."""
    if probability == 0:
        yield
        return
    generators = [torch.Generator().manual_seed(derive_seed(*seed)) for seed in seeds]
    drop = RowDropout(probability, lengths, generators)
    handles = [part.register_forward_hook(drop) for part in branch_ends(module)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
