"""Atomic checkpoints: tensors in safetensors, the rest in JSON, a sealed manifest with digests,
one rename. No pickle. Of tensors that several processes divide among them, each may write its own
rows (`Part`); any number of processes can read them again."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab.errors import StorageError
from preflab.storage.artifacts import file_digest
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
PIECE = 1 << 26
"""Bytes of tensors in one file, about (a tensor is never divided): what is in memory some times
over while it is written (`preflab.memory.COPIES`)."""
SMALL = 1 << 24
"""Bytes of a tensor that is read whole where others are in the map of their file: what is no matrix
of weights, and may be kept as it is."""
_MANIFEST, _STATE = "manifest.json", "state.json"
_TENSOR, _SHAPE = "\x00tensor", "\x00shape"
Rows = Callable[[int, int], "torch.Tensor"]
"""The rows of a tensor from one to below another."""


@dataclass(frozen=True)
class Part:
    """What this process has of a tensor that is divided by rows. Process 0 has the first ones."""

    rows: torch.Tensor
    shape: tuple[int, ...]
    """Of the whole tensor."""


def flatten(value: Any, tensors: dict[str, torch.Tensor], path: str = "") -> Any:
    """Replace every tensor in a tree of dicts and lists by a reference and collect it; raise on
    what JSON cannot hold."""
    import torch

    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach()
        return {_TENSOR: path}
    if isinstance(value, Part):
        return {_TENSOR: path, _SHAPE: list(value.shape)}
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


def unflatten(
    value: Any,
    tensors: dict[str, torch.Tensor],
    joined: Callable[[str, Sequence[int]], Any] = lambda path, shape: None,
) -> Any:
    """Reverse of `flatten`. joined: makes a tensor in parts, of its path and the whole shape."""
    if isinstance(value, dict):
        if _TENSOR in value:
            path = value[_TENSOR]
            return joined(path, value[_SHAPE]) if _SHAPE in value else tensors[path]
        return {key: unflatten(item, tensors, joined) for key, item in value.items()}
    if isinstance(value, list):
        return [unflatten(item, tensors, joined) for item in value]
    return value


def parts(value: Any, path: str = "") -> dict[str, torch.Tensor]:
    """The rows that this process has of each divided tensor in a tree, by path as in `flatten`."""
    if isinstance(value, Part):
        return {path: value.rows}
    named = value.items() if isinstance(value, dict) else enumerate(value)
    inner = (parts(item, f"{path}/{key}") for key, item in named if isinstance(item, _TREES))
    return {key: rows for found in inner for key, rows in found.items()}


_TREES = (dict, list, tuple, Part)


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
    temporary = begin(root, step)
    try:
        return finish(temporary, step, write(temporary, state), facts)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)  # a disk that is full can use the room
        raise


def begin(root: Path, step: int) -> Path:
    """An empty folder for the files of a checkpoint."""
    make_folder(root)
    _clean(root)
    temporary = root / f"tmp-{step:09d}-{os.getpid()}"
    temporary.mkdir()
    return temporary


def finish(
    temporary: Path, step: int, digests: Mapping[str, str], facts: Mapping[str, Any] | None = None
) -> Path:
    """Seal the files in a folder of `begin` and give it its name. digests: of all of them."""
    root = temporary.parent
    final = root / f"step-{step:09d}"
    made = {"step": step, "files": dict(digests), "facts": dict(facts or {})}
    write_sealed(temporary / _MANIFEST, made)
    publish(temporary, final, root / f"tmp-{step:09d}-replaced")
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


def write(folder: Path, state: dict[str, Any]) -> dict[str, str]:
    """Write a state but for its parts of tensors; the digests of the files."""
    tensors: dict[str, torch.Tensor] = {}
    tree = flatten(state, tensors)
    return _written(folder, itertools.chain(_pieces(tensors), [(_STATE, encoded(tree))]))


def write_parts(folder: Path, number: int, state: dict[str, Any]) -> dict[str, str]:
    """Write the parts that a process has, by its number; the digests of the files."""
    return _written(folder, _pieces(parts(state), f"{_OF_PROCESS}{number:05d}"))


_OF_PROCESS = "part-"


def _written(folder: Path, files: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    digests = {}
    for name, data in files:
        write_bytes(folder / name, data)
        digests[name] = hashlib.sha256(data).hexdigest()
        del data  # before the next is made
    return digests


def _pieces(
    tensors: Mapping[str, torch.Tensor], name: str = "tensors"
) -> Iterator[tuple[str, bytes]]:
    """(file name, content) of files that hold all tensors; one by one, so that few are in memory
    twice."""
    from safetensors.torch import save as serialized

    groups: list[list[str]] = [[]]
    for key, tensor in tensors.items():
        if groups[-1] and sum(tensors[k].nbytes for k in groups[-1]) + tensor.nbytes > PIECE:
            groups.append([])
        groups[-1].append(key)
    for number, group in enumerate(groups):
        file = f"{name}-{number}.safetensors" if number else f"{name}.safetensors"
        # Tensors that share storage (tied weights) are written once each: safetensors refuses
        # aliases.
        yield file, serialized({key: tensors[key].cpu().contiguous().clone() for key in group})


def facts(folder: Path) -> dict[str, Any]:
    """What `save` was given to note in the manifest; `StorageError` if the manifest is missing or
    changed."""
    return dict(_manifest(folder)["facts"])


def load(
    folder: Path, joined: Callable[[Rows, Sequence[int]], Any] | None = None
) -> tuple[int, dict[str, Any]]:
    """(steps done, state) of a checkpoint; `StorageError` naming the file that is missing, cut or
    changed. joined: for a process that needs few rows of the tensors: makes one that is stored in
    parts, of what reads its rows and of its shape; large other ones are in the map of their file,
    from which what is used is copied; and files are not checked (`verify`). Default: all is read
    and checked."""
    manifest = _named(folder)
    if joined is None:
        verify(folder, only=_OF_PROCESS)
    tensors: dict[str, torch.Tensor] = {}
    for name in (n for n in manifest["files"] if n != _STATE and not n.startswith(_OF_PROCESS)):
        if joined is not None:
            tensors |= _mapped(folder / name)
        else:
            from safetensors.torch import load as deserialized

            tensors |= deserialized(_checked(folder, name, manifest))
    tree = json.loads(_checked(folder, _STATE, manifest))
    places = _places([folder / name for name in _parts_in(manifest)])

    def from_parts(path: str, shape: Sequence[int]) -> Any:
        rows = partial(_rows, places[path], path)
        return rows(0, shape[0]) if joined is None else joined(rows, shape)

    return int(manifest["step"]), unflatten(tree, tensors, from_parts)


def verify(
    folder: Path, share: Callable[[Sequence[str]], Sequence[str]] = lambda n: n, only: str = ""
) -> None:
    """`StorageError` for a file that is missing, cut or changed. share: chooses those that this
    process looks through; only: what their names begin with."""
    manifest = _named(folder)
    for name in share(sorted(n for n in manifest["files"] if n.startswith(only))):
        try:
            found = file_digest(folder / name)
        except OSError as error:
            raise StorageError(f"{folder / name} cannot be read: {error.strerror}") from error
        if found != manifest["files"][name]:
            raise StorageError(f"{folder / name} does not match its digest")


def _parts_in(manifest: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in manifest["files"] if name.startswith(_OF_PROCESS))


def _places(files: Sequence[Path]) -> dict[str, list[tuple[Path, int]]]:
    """The files that have rows of each tensor, in the order of the rows, and how many each has.
    Every file is opened once: a large state has thousands of files and of tensors."""
    found: dict[str, list[tuple[Path, int]]] = {}
    for file in files:
        with _opened(file) as held:
            for name in held.keys():  # noqa: SIM118 (it is no dict)
                found.setdefault(name, []).append((file, held.get_slice(name).get_shape()[0]))
    return found


def _rows(places: Sequence[tuple[Path, int]], path: str, first: int, end: int) -> torch.Tensor:
    """Rows of a tensor from the files that have them."""
    import torch

    wanted: list[tuple[Path, int, int]] = []
    start = 0
    for file, count in places:
        low, high = max(first - start, 0), min(end - start, count)
        if low < high:
            wanted.append((file, low, high))
        start += count
    found: list[torch.Tensor] = []
    for file, low, high in wanted or [(places[0][0], 0, 0)]:  # no row has a shape too
        with _opened(file) as held:
            found.append(held.get_slice(path)[low:high])
    return torch.cat(found).clone()


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """A file of tensors, of which rows are read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as held:
            yield held
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{file} cannot be read: {error}") from error


def _mapped(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file in its memory map: what nobody uses of them is never read."""
    with _opened(file) as held:
        tensors = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118
    return {n: t if t.nbytes > SMALL else t.clone() for n, t in tensors.items()}


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}") from error


def _checked(folder: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    """The content of a file; `StorageError` unless it is what was written."""
    data = _bytes(folder / name)
    if hashlib.sha256(data).hexdigest() != manifest["files"][name]:
        raise StorageError(f"{folder / name} does not match its digest")
    return data


def _named(folder: Path) -> dict[str, Any]:
    """The manifest; `StorageError` if it is that of another step."""
    manifest = _manifest(folder)
    if folder.name != f"step-{manifest['step']:09d}":
        raise StorageError(f"{folder} holds the manifest of step {manifest['step']}")
    return manifest


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
