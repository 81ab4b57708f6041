"""Atomic checkpoints: tensors in safetensors, the rest in JSON, a manifest with digests, one rename. No pickle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab.artifacts import file_digest, fsync, write_json
from preflab.errors import StorageError

if TYPE_CHECKING:
    import torch

KEEP = 2
_MANIFEST = "manifest.json"
_TENSOR = "\x00tensor"


def flatten(value: Any, tensors: dict[str, torch.Tensor], path: str = "") -> Any:
    """Replace every tensor in a tree of dicts and lists by a reference and collect it; raise on what JSON cannot hold."""
    import torch

    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().cpu().contiguous()
        return {_TENSOR: path}
    if isinstance(value, dict):
        return {str(key): flatten(item, tensors, f"{path}/{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [flatten(item, tensors, f"{path}/{i}") for i, item in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint holds tensors, numbers and text, not {type(value).__name__} (at {path or 'the top'})")


def unflatten(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Reverse of `flatten`."""
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            return tensors[value[_TENSOR]]
        return {key: unflatten(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [unflatten(item, tensors) for item in value]
    return value


def save(root: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the checkpoint of ``step`` steps done; the previous ones are removed only when it is durable."""
    from safetensors.torch import save_file

    root.mkdir(parents=True, exist_ok=True)
    temporary, final = root / f"tmp-{step:09d}-{os.getpid()}", root / f"step-{step:09d}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    tensors: dict[str, torch.Tensor] = {}
    tree = flatten(state, tensors)
    # Tensors that share storage (tied weights) are written once each: safetensors refuses aliases.
    save_file({key: tensor.clone() for key, tensor in tensors.items()}, temporary / "tensors.safetensors")
    write_json(temporary / "state.json", tree)
    fsync(temporary / "tensors.safetensors")
    digests = {name: file_digest(temporary / name) for name in ("tensors.safetensors", "state.json")}
    write_json(temporary / _MANIFEST, {"step": step, "files": digests})
    if final.exists():
        shutil.rmtree(final)
    os.rename(temporary, final)
    fsync(root)
    for old in sorted(root.glob("step-*"))[:-KEEP]:
        shutil.rmtree(old)
    return final


def load(folder: Path) -> tuple[int, dict[str, Any]]:
    """(steps done, state) of a checkpoint; `StorageError` naming the file that is missing, cut or changed."""
    from safetensors.torch import load_file

    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf8"))
        for name, digest in manifest["files"].items():
            if file_digest(folder / name) != digest:
                raise StorageError(f"{folder / name} does not match its digest")
        if folder.name != f"step-{manifest['step']:09d}":
            raise StorageError(f"{folder} holds the manifest of step {manifest['step']}")
        tree = json.loads((folder / "state.json").read_text(encoding="utf8"))
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(f"{folder} is not a complete checkpoint: {error}") from error
    return int(manifest["step"]), unflatten(tree, load_file(folder / "tensors.safetensors"))


def candidates(root: Path) -> Iterator[Path]:
    """Checkpoints, newest first; what a killed save left is removed."""
    for leftover in root.glob("tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    yield from sorted(root.glob("step-*"), reverse=True)
