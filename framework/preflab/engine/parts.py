"""Checkpoints that all processes of a job write together: each its own part of divided weights and
moments, so that no process ever holds a whole one. Any number of processes can go on from them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab.engine.alike import Alone, together
from preflab.runtime import Runtime
from preflab.sharding import divided, is_divided, local
from preflab.storage import checkpoints
from preflab.storage.durable import make_folder, writing


class Parts:
    """Saving and loading, in which every process takes part. runtime: of a job that divides
    weights."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def save(self, root: Path, step: int, state: Any, facts: Mapping[str, Any]) -> Path:
        """`checkpoints.save` of a state with divided tensors. facts: of process 0."""
        state, main = _in_parts(state), self.runtime.rank == 0
        made: dict[str, Any] = {}

        def begin() -> None:
            made["folder"] = checkpoints.begin(root, step) if main else None

        def write() -> None:
            make_folder(folder)  # on a network disk it may not be seen yet
            made["files"] = checkpoints.write_parts(folder, self.runtime.rank, state)
            if main:
                made["files"] |= checkpoints.write(folder, state)

        def finish() -> None:
            made["done"] = checkpoints.finish(folder, step, files, facts) if main else None

        self._all(root, begin)
        folder: Path = self.runtime.agreed(made["folder"])
        try:
            self._all(root, write)
            written = self.runtime.gather([made["files"]])
            files = {name: digest for own in written for name, digest in own.items()}
            self._all(root, finish)
        except BaseException:
            if main:
                shutil.rmtree(folder, ignore_errors=True)  # a disk that is full can use the room
            raise
        done: Path = self.runtime.agreed(made["done"])
        return done

    def load(self, folder: Path) -> tuple[int, dict[str, Any]]:
        """`checkpoints.load`, also of a checkpoint that process 0 wrote alone: each process reads
        its rows of the tensors, and looks through some of the files."""
        found: list[tuple[int, dict[str, Any]]] = []
        try:
            together(self.runtime, lambda: checkpoints.verify(folder, self.runtime.share))
        except Alone:  # damaged, or is it one process that cannot read it?
            together(self.runtime, lambda: checkpoints.verify(folder))
        together(self.runtime, lambda: found.append(checkpoints.load(folder, self._joined)))
        return found[0]

    def _joined(self, rows: checkpoints.Rows, shape: Sequence[int]) -> Any:
        return divided(rows, shape, self.runtime.division)

    def _all(self, root: Path, do: Callable[[], None]) -> None:
        """Do something on every process; `StorageError` on all if the disk of one refuses."""

        def check() -> None:
            with writing("a checkpoint", root):
                do()

        together(self.runtime, check)


def _in_parts(value: Any) -> Any:
    """A tree of dicts and lists with `checkpoints.Part` in the place of divided tensors."""
    if isinstance(value, dict):
        return {name: _in_parts(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_in_parts(part) for part in value]
    if not is_divided(value):
        return value
    return checkpoints.Part(local(value.detach()), tuple(value.shape))
