"""Checkpoints: exact round trips, whole or refused; the old one stays until the new is durable."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab import StorageError
from preflab.storage import checkpoints


def _state(value: float) -> dict[str, object]:
    weights = torch.full((3, 2), value, dtype=torch.float32)
    return {
        "weights": weights,
        "tied": weights,
        "step": torch.tensor(4.0),
        "nested": {"list": [1, "x", None, value]},
        "empty": torch.zeros(0),
    }


def test_round_trip_keeps_tensors_bit_for_bit_and_values(tmp_path: Path) -> None:
    folder = checkpoints.save(tmp_path, 3, _state(0.1))
    step, state = checkpoints.load(folder)
    assert step == 3
    assert torch.equal(state["weights"], torch.full((3, 2), 0.1))
    assert torch.equal(state["tied"], state["weights"])
    assert state["nested"] == {"list": [1, "x", None, 0.1]}
    assert state["empty"].shape == (0,)


def test_what_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"set \(at /a\)"):
        checkpoints.save(tmp_path, 0, {"a": {1}})


def test_two_are_kept_newest_first(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoints.save(tmp_path, step, _state(step))
    assert [p.name for p in checkpoints.candidates(tmp_path)] == [
        "step-000000003",
        "step-000000002",
    ]


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, damage: str) -> None:
    path = checkpoints.save(tmp_path, 1, _state(1)) / name
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data if damage == "flip" else data[: len(data) // 2])
    with pytest.raises(StorageError, match="step-000000001"):
        checkpoints.load(path.parent)


def test_a_save_that_cannot_finish_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(tmp_path, 1, _state(1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(tmp_path, 2, _state(2))
    monkeypatch.undo()
    newest = next(iter(checkpoints.candidates(tmp_path)))
    assert checkpoints.load(newest)[0] == 1
    assert not list(tmp_path.glob("tmp-*"))


def test_parts_are_read_by_another_number_of_processes_with_few_openings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three processes wrote 2 rows each of ten tensors in files of two tensors; each of two reads 3
    rows: those of two processes. Every file is opened once, that of whole tensors too, and for a
    tensor the two that have its rows: 16 + 10 * 2 openings, and not 10 * 15."""
    monkeypatch.setattr(checkpoints, "PIECE", 2 * 2 * 4 * 4)
    whole = {f"w{i}": torch.randn(6, 4) for i in range(10)}
    begun, files = checkpoints.begin(tmp_path, 1), dict[str, str]()
    for number in range(3):
        rows = slice(2 * number, 2 * number + 2)
        state = {name: checkpoints.Part(w[rows].clone(), (6, 4)) for name, w in whole.items()}
        files |= checkpoints.write_parts(begun, number, state)
    folder = checkpoints.finish(begun, 1, files | checkpoints.write(begun, state), {})
    assert len(list(folder.glob("part-*"))) == 15
    opened, really = list[Path](), checkpoints._opened

    def noted(file: Path) -> Any:
        opened.append(file)
        return really(file)

    monkeypatch.setattr(checkpoints, "_opened", noted)
    for first, end in ((0, 3), (3, 6)):
        opened.clear()
        _, again = checkpoints.load(folder, lambda rows, _, at=(first, end): rows(*at))  # type: ignore[misc]
        assert all(torch.equal(again[name], w[first:end]) for name, w in whole.items())
        assert len(opened) == 16 + 10 * 2
    _, again = checkpoints.load(folder, lambda rows, _: rows(6, 6))
    assert {tensor.shape for tensor in again.values()} == {(0, 4)}


def test_a_process_that_needs_some_rows_has_no_copy_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a checkpoint that process 0 wrote alone a tensor of 2 MB is in the map of its file, from
    which the rows are copied; a small one is not, and reading everything maps nothing."""
    monkeypatch.setattr(checkpoints, "SMALL", 1 << 20)
    whole = torch.randn(4, 2**17)
    state = {"large": whole, "small": torch.ones(3)}
    folder = checkpoints.save(tmp_path, 1, state)
    assert not _maps(folder, checkpoints.load(folder)[1])
    _, read = checkpoints.load(folder, lambda rows, shape: rows(0, 1))
    assert _maps(folder, read)
    assert torch.equal(read["large"], whole)
    del read["large"]
    assert torch.equal(read["small"], torch.ones(3))
    assert not _maps(folder, read)


def _maps(folder: Path, held: Any) -> bool:
    """Whether a file of a folder is in this process's memory map, while something is held."""
    gc.collect()
    return held is not None and str(folder) in Path("/proc/self/maps").read_text()
