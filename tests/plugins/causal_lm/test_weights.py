"""Weight files by their headers, and the search for numbers that are none."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from preflab.errors import UserError
from preflab_builtin.causal_lm import weights as module
from preflab_builtin.causal_lm.weights import (
    blocks,
    check_finite,
    embedding,
    parameters,
    weights,
)

KINDS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def write(folder: Path, **tensors: torch.Tensor) -> Path:
    save_file({name.replace("__", "."): t for name, t in tensors.items()}, folder / module.WHOLE)
    return folder


def test_headers_tell_names_types_and_shapes(tmp_path: Path) -> None:
    write(tmp_path, a=torch.zeros(2, 3), b__c=torch.zeros(4, dtype=torch.bfloat16))
    found = weights(tmp_path)
    assert {n: (w.dtype, w.shape) for n, w in found.items()} == {
        "a": ("F32", (2, 3)),
        "b.c": ("BF16", (4,)),
    }
    assert parameters(tmp_path) == 2 * 3 + 4


def test_the_embedding_and_the_blocks_are_found_by_their_usual_names(tmp_path: Path) -> None:
    write(
        tmp_path,
        transformer__wte__weight=torch.zeros(7, 2),
        transformer__wpe__weight=torch.zeros(9, 2),
        transformer__h__0__ln__weight=torch.zeros(2),
        transformer__h__11__ln__weight=torch.zeros(2),
    )
    found = weights(tmp_path)
    table = embedding(found)
    assert table is not None
    assert (table[0], table[1].shape) == ("transformer.wte.weight", (7, 2))
    assert blocks(found) == 12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_number_that_is_none_is_found(kind: torch.dtype, value: float, tmp_path: Path) -> None:
    tensor = torch.randn(3, 5).to(kind)
    check_finite(write(tmp_path, good=tensor))
    tensor[2, 4] = value
    with pytest.raises(UserError, match=r": bad of 2 hold NaN or infinity.*earlier checkpoint"):
        check_finite(write(tmp_path, bad=tensor, good=torch.zeros(2)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_and_the_smallest_numbers_are_numbers(
    kind: torch.dtype, tmp_path: Path
) -> None:
    limits = torch.finfo(kind)
    extremes = torch.tensor([limits.max, limits.min, limits.tiny, 0.0, -0.0], dtype=kind)
    check_finite(write(tmp_path, a=extremes, b=torch.tensor(1.0, dtype=kind), c=torch.zeros(0)))


def test_several_are_counted_and_whole_numbers_are_left_alone(tmp_path: Path) -> None:
    nan = torch.full((2,), float("nan"))
    ids = torch.full((2,), -1)  # all bits set
    write(tmp_path, a=nan, b=nan.clone(), c=nan.clone(), d=ids)
    with pytest.raises(UserError, match=r": a and 2 more weights of 4 hold NaN"):
        check_finite(tmp_path)


def test_the_same_bytes_are_looked_through_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, a=torch.full((3,), 0.123))
    check_finite(tmp_path)

    def read(*arguments: object, **settings: object) -> None:
        raise AssertionError("the weights are read again")

    monkeypatch.setattr(np, "memmap", read)
    check_finite(tmp_path)
    write(tmp_path, a=torch.full((3,), 0.124))
    with pytest.raises(AssertionError, match="read again"):
        check_finite(tmp_path)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / module.WHOLE).write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="not a whole safetensors file: it ends within its header"):
        weights(tmp_path)
    (tmp_path / module.WHOLE).write_bytes((4).to_bytes(8, "little") + b"[1]]")
    with pytest.raises(UserError, match="header cannot be read"):
        weights(tmp_path)


def test_another_process_of_the_machine_takes_what_the_first_has_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has an empty memory of its own, and looks at no number."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    (tmp_path / "model").mkdir()
    write(tmp_path / "model", a=torch.tensor([0.5, float("nan"), 0.321]))
    for look in (module._is_finite, None):
        monkeypatch.setattr(module, "_not_finite", {})
        monkeypatch.setattr(module, "_is_finite", look)
        with pytest.raises(UserError, match=": a of 1 hold NaN"):
            check_finite(tmp_path / "model")
