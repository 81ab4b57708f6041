"""Frozen networks out of memory while they are not needed: on a CPU their weights lie in a file
that is mapped into memory, on a GPU they wait in the memory of the host. Of weights that processes
divide among them, each process moves its part."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.errors import UserError
from preflab.interfaces import Backbone, HasNetwork, HasNetworks, RewardModel
from preflab.malloc import give_back
from preflab.sharding import is_divided, local

if TYPE_CHECKING:
    import torch

ALIGNED = 64
"""Bytes: where torch lets the memory of a tensor begin. At other addresses kernels round
differently."""


MOUNTS = Path("/proc/self/mounts")
IN_MEMORY = ("tmpfs", "ramfs")
"""File systems that have no disk."""


def in_memory(folder: str) -> bool:
    """Whether the files of a folder are in memory themselves; False where nothing says so."""
    try:
        lines = [line.split() for line in MOUNTS.read_text(errors="replace").splitlines()]
    except OSError:
        return False
    place = Path(folder).resolve()
    around = [(Path(where), kind) for _, where, kind, *_ in lines if place.is_relative_to(where)]
    # The innermost one, and of two in one place the later one.
    kinds = [kind for _, kind in sorted(around, key=lambda found: len(found[0].parts))]
    return bool(kinds) and kinds[-1] in IN_MEMORY


def networks_of(model: RewardModel) -> Sequence[Backbone]:
    """The networks that a reward model scores with."""
    if isinstance(model, HasNetworks):
        return model.networks
    return [model.network] if isinstance(model, HasNetwork) and model.network else []


class Offload:
    """Weights of frozen networks that can leave and come back; the numbers stay the same.

    frozen: modules whose weights nobody changes; kept: modules that share some of these weights and
    go on using them. On a CPU `leave` drops the mapped pages, and whoever reads a weight brings its
    pages back, so that nothing has to be fetched; the file has no name, and its room is free again
    when the process ends.
    """

    def __init__(
        self, frozen: Iterable[torch.nn.Module], kept: Iterable[torch.nn.Module] = ()
    ) -> None:
        used = [tensor for module in kept for tensor in _tensors(module)]
        stays = {id(tensor) for tensor in used}
        found = {id(t): t for module in frozen for t in _tensors(module) if id(t) not in stays}
        self._parts = _Parts([t for t in found.values() if is_divided(t)], used)
        self._tensors = [tensor for tensor in found.values() if not is_divided(tensor)]
        self._map: mmap.mmap | None = None
        self._homes = [tensor.device for tensor in self._tensors]
        on_cpu = [tensor for tensor in self._tensors if tensor.device.type == "cpu"]
        if on_cpu:
            self._map = _mapped(on_cpu)
        self.bytes = sum(tensor.nbytes for tensor in self._tensors) + self._parts.bytes
        """How much memory is free after `leave`."""

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Within it the memory is free, and nobody may read the weights: who reads those that are
        divided is killed. After it they are back, whoever reads them next."""
        self.leave()
        try:
            yield
        finally:
            self.come()

    def leave(self) -> None:
        """Free the memory."""
        self._parts.leave()
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)
        for tensor in self._tensors:
            if tensor.device.type != "cpu":
                tensor.data = tensor.data.to("cpu")

    def come(self) -> None:
        """Bring the weights back to their devices, in the place of what updates have freed."""
        if self._map is not None:
            # With the weights beside what gradients and activations took, a process would hold as
            # much as if they had never left.
            give_back()
        self._parts.come()
        for tensor, home in zip(self._tensors, self._homes, strict=True):
            if tensor.device != home:
                tensor.data = tensor.data.to(home)


class _Parts:
    """This process's parts of divided tensors. torch has several tensors on the memory of each, so
    that this is emptied, and filled again where the others expect it. used: tensors whose memory
    stays."""

    def __init__(self, divided: Sequence[torch.Tensor], used: Sequence[torch.Tensor]) -> None:
        stays = {local(tensor.detach()).untyped_storage().data_ptr() for tensor in used}
        storages = [local(tensor.detach()).untyped_storage() for tensor in divided]
        found = {s.data_ptr(): s for s in storages if s.resizable()}
        self._storages = [s for place, s in found.items() if place not in stays]
        self._sizes = [storage.nbytes() for storage in self._storages]
        self.bytes = sum(self._sizes)
        copies = [_bytes(storage) for storage in self._storages]
        self._copies = [c if c.device.type == "cpu" else c.to("cpu") for c in copies]
        on_cpu = [c for c in copies if c.device.type == "cpu"]
        self._map = _mapped(on_cpu) if on_cpu else None

    def leave(self) -> None:
        """Free their memory."""
        for storage in self._storages:
            storage.resize_(0)

    def come(self) -> None:
        """Fill it again."""
        for storage, size, copy in zip(self._storages, self._sizes, self._copies, strict=True):
            if storage.nbytes() != size:
                storage.resize_(size)
                _bytes(storage).copy_(copy)
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)


def _bytes(storage: torch.UntypedStorage) -> torch.Tensor:
    """The whole memory of a tensor, byte by byte."""
    import torch

    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _tensors(module: torch.nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def _mapped(tensors: list[torch.Tensor]) -> mmap.mmap:
    """A file that holds the tensors, which from now on are in its map."""
    import torch

    starts, end = [], 0
    for tensor in tensors:
        starts.append(end)
        end += -(-tensor.nbytes // ALIGNED) * ALIGNED
    with tempfile.TemporaryFile() as file:
        file.truncate(max(end, 1))
        try:  # to run out of room while writing to a map would kill the process
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, max(end, 1))
        except OSError as error:
            raise UserError(
                f"runtime.offload: the frozen networks take {end / 2**20:.0f} MB in a file, and "
                f"{tempfile.gettempdir()} has no room for it ({error.strerror}). Give another "
                "folder with the variable TMPDIR, or leave runtime.offload out."
            ) from None
        mapped = mmap.mmap(file.fileno(), 0)
    for tensor, start in zip(tensors, starts, strict=True):
        if tensor.numel():
            flat = torch.frombuffer(mapped, dtype=tensor.dtype, count=tensor.numel(), offset=start)
            tensor.data = flat.copy_(tensor.data.flatten()).view(tensor.shape)
    return mapped
