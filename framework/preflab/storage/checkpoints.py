"""Atomic checkpoints: tensors in safetensors, the rest in JSON, a sealed manifest with digests,
one rename. No pickle."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab.errors import StorageError
from preflab.storage.durable import (
    encoded,
    fsync,
    make_folder,
    publish,
    read_sealed,
    write_bytes,
    write_sealed,
)

if TYPE_CHECKING:
    import torch

KEEP = 2
PIECE = 1 << 28
"""Bytes of tensors in one file, about: what is in memory twice while it is written."""
_MANIFEST, _STATE = "manifest.json", "state.json"
_TENSOR = "\x00tensor"


def flatten(value: Any, tensors: dict[str, torch.Tensor], path: str = "") -> Any:
    """Replace every tensor in a tree of dicts and lists by a reference and collect it; raise on
    what JSON cannot hold."""
    import torch

    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach()
        return {_TENSOR: path}
    if isinstance(value, dict):
        return {str(key): flatten(item, tensors, f"{path}/{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [flatten(item, tensors, f"{path}/{i}") for i, item in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"a checkpoint holds tensors, numbers and text, not {type(value).__name__} (at "
        f"{path or 'the top'})"
    )


def unflatten(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Reverse of `flatten`."""
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            return tensors[value[_TENSOR]]
        return {key: unflatten(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [unflatten(item, tensors) for item in value]
    return value


def size(state: dict[str, Any]) -> int:
    """Bytes that the tensors of a state take."""
    tensors: dict[str, torch.Tensor] = {}
    flatten(state, tensors)
    return sum(tensor.nbytes for tensor in tensors.values())


def save(
    root: Path, step: int, state: dict[str, Any], facts: Mapping[str, Any] | None = None
) -> Path:
    """Write the checkpoint of ``step`` steps done, with ``facts`` in its manifest. Contents are
    durable before the name is, and what it replaces is removed only then."""
    make_folder(root)
    temporary, final = root / f"tmp-{step:09d}-{os.getpid()}", root / f"step-{step:09d}"
    _clean(root)
    temporary.mkdir()
    try:
        digests = _write(temporary, state)
        write_sealed(
            temporary / _MANIFEST, {"step": step, "files": digests, "facts": dict(facts or {})}
        )
        publish(temporary, final, root / f"tmp-{step:09d}-replaced")
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)  # a disk that is full can use the room
        raise
    done = sorted(root.glob("step-*"))
    older = done[: done.index(final) + 1]
    # Later ones were damaged, or this step would not be done again.
    doomed = [*older[:-KEEP], *done[len(older) :]]
    for old in doomed:
        # Half removed it must not bear the name of a checkpoint.
        os.rename(old, root / f"tmp-{old.name}")
    fsync(root)
    _clean(root)
    return final


def _write(folder: Path, state: dict[str, Any]) -> dict[str, str]:
    """Write the files of a state; their digests."""
    tensors: dict[str, torch.Tensor] = {}
    tree, digests = flatten(state, tensors), {}
    for name, data in itertools.chain(_pieces(tensors), [(_STATE, encoded(tree))]):
        write_bytes(folder / name, data)
        digests[name] = hashlib.sha256(data).hexdigest()
    return digests


def _pieces(tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, bytes]]:
    """(file name, content) of files that hold all tensors; one by one, so that few are in memory
    twice."""
    from safetensors.torch import save as serialized

    groups: list[list[str]] = [[]]
    for key, tensor in tensors.items():
        if groups[-1] and sum(tensors[k].nbytes for k in groups[-1]) + tensor.nbytes > PIECE:
            groups.append([])
        groups[-1].append(key)
    for number, group in enumerate(groups):
        name = f"tensors-{number}.safetensors" if number else "tensors.safetensors"
        # Tensors that share storage (tied weights) are written once each: safetensors refuses
        # aliases.
        yield name, serialized({key: tensors[key].cpu().contiguous().clone() for key in group})


def facts(folder: Path) -> dict[str, Any]:
    """What `save` was given to note in the manifest; `StorageError` if the manifest is missing or
    changed."""
    return dict(_manifest(folder)["facts"])


def load(folder: Path) -> tuple[int, dict[str, Any]]:
    """(steps done, state) of a checkpoint; `StorageError` naming the file that is missing, cut or
    changed."""
    from safetensors.torch import load as deserialized

    manifest = _manifest(folder)
    if folder.name != f"step-{manifest['step']:09d}":
        raise StorageError(f"{folder} holds the manifest of step {manifest['step']}")
    tensors: dict[str, torch.Tensor] = {}
    tree = None
    for name, digest in manifest["files"].items():
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise StorageError(f"{folder / name} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise StorageError(f"{folder / name} does not match its digest")
        if name == _STATE:
            tree = json.loads(data)
        else:
            tensors |= deserialized(data)
    return int(manifest["step"]), unflatten(tree, tensors)


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        return read_sealed(folder / _MANIFEST)
    except OSError as error:
        raise StorageError(f"{folder / _MANIFEST} cannot be read: {error.strerror}") from error


def candidates(root: Path) -> Iterator[Path]:
    """Checkpoints, newest first; what a killed save left is removed."""
    _clean(root)
    yield from sorted(root.glob("step-*"), reverse=True)


def _clean(root: Path) -> None:
    for leftover in root.glob("tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
