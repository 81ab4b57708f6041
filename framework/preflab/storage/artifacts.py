"""Immutable results of stages: ``artifacts/<stage>-<id>/``, made in ``....partial/`` under a
lock, complete or absent."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from preflab.errors import StorageError, UserError
from preflab.storage.durable import fsync as fsync
from preflab.storage.durable import make_folder, publish, read_sealed, sync_below, write_sealed
from preflab.storage.durable import write_json as write_json

MANIFEST = "artifact.json"
STATE = ".state"
LAST = "state"
"""In the artifact of a stage that can be trained on: the state after its last step. It is no part
of the content: an artifact with it equals one without."""
FAILED = "failed"
"""Below the checkpoints: the batches at which a step ended in a `NumericError`."""
OWNER = "owner"
"""Below the checkpoints: which job is at work."""
METRICS = "metrics.jsonl"
NAMELESS_SECONDS = 2.0
"""So long a job that waits looks for the name of the one that it waits for."""
_NAME = re.compile(r".+-[0-9a-f]{16}")
"""What the folder of an artifact is called: others, such as artifacts/debug, are none."""
_PARTIAL, _REPLACED = ".partial", ".replaced"


def file_digest(path: Path, first: int | None = None) -> str:
    """sha256 of a file's bytes, or of its first N bytes (``first``)."""
    with path.open("rb") as stream:
        if first is None:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        digest, left = hashlib.sha256(), first
        while piece := stream.read(min(left, 1 << 20)):
            digest.update(piece)
            left -= len(piece)
        return digest.hexdigest()


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder in a fixed order."""
    yield from sorted(p for p in folder.rglob("*") if p.is_file())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file; [] if there is none. A last line that a kill cut in half is left
    out."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1] if line]


@dataclass(frozen=True)
class Artifact:
    """A complete result. recipe: what determined it; cost: seconds, steps."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def stage(self) -> str:
        """The stage that made it."""
        return str(self.manifest["stage"])

    @property
    def recipe_id(self) -> str:
        """Hash of everything that determined it."""
        return str(self.manifest["recipe_id"])

    @property
    def content(self) -> str:
        """Digest of what it holds, except for the log of metrics, which has times in it."""
        listed = sorted(
            f"{name} {digest}" for name, digest in self.manifest["files"].items() if name != METRICS
        )
        return hashlib.sha256("\n".join(listed).encode()).hexdigest()

    def history(self) -> list[dict[str, Any]]:
        """Metric rows of the steps it was made with."""
        return read_rows(self.folder / METRICS)

    def verify(self) -> None:
        """Raise `StorageError` naming the first file that is missing or changed since the
        artifact was made."""
        for name, digest in self.manifest["files"].items():
            path = self.folder / name
            if not path.is_file() or file_digest(path) != digest:
                what = "was changed" if path.is_file() else "is missing"
                raise StorageError(
                    f"{path} {what} since the artifact was made. {_MEND.format(self.folder)}"
                )


_MEND = (
    "Nothing was computed from it. Remove the folder {0} to make the stage again, or restore the "
    "file."
)


def opened(folder: Path) -> Artifact:
    """The complete artifact in a folder, of which only the manifest is verified. `StorageError`."""
    try:
        return Artifact(folder, read_sealed(folder / MANIFEST))
    except (
        OSError
    ) as error:  # a folder gets its name when the manifest is in it, so somebody has taken it away
        raise StorageError(
            f"{folder / MANIFEST} cannot be read: {error.strerror}. {_MEND.format(folder)}"
        ) from error
    except StorageError as error:
        raise StorageError(f"{error}. {_MEND.format(folder)}") from error


class Store:
    """The folder of artifacts, shared by all runs and jobs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, stage: str, recipe_id: str) -> Path:
        """Where the artifact of a recipe is or will be."""
        return self.root / f"{stage}-{recipe_id[:16]}"

    def find(self, stage: str, recipe_id: str) -> Artifact | None:
        """The complete artifact of a recipe, of which only the manifest is verified; None if it
        has not been made."""
        folder = self.folder(stage, recipe_id)
        if not folder.is_dir():
            return None
        artifact = opened(folder)
        if (artifact.stage, artifact.recipe_id) != (stage, recipe_id):
            raise StorageError(
                f"{folder} holds the {artifact.stage} of the recipe {artifact.recipe_id}. "
                f"{_MEND.format(folder)}"
            )
        return artifact

    def progress(self, stage: str, recipe_id: str) -> bool:
        """Whether a killed run has left checkpoints for this recipe."""
        return any((self._partial(stage, recipe_id) / STATE).glob("step-*"))

    def remove(self, folder: Path) -> bool:
        """Remove an artifact or a half-made one; False, and nothing is done, while a job is
        making it. `UserError` for a link."""
        if folder.is_symlink():
            raise UserError(
                f"{folder} is a link to {os.readlink(folder)}: what it leads to is not preflab's. "
                "Remove the link."
            )
        lock = FileLock(str(folder).removesuffix(_PARTIAL) + ".lock")
        try:
            with lock.acquire(timeout=0):
                # So that a kill leaves no artifact that lacks files.
                half = folder.with_suffix(_PARTIAL)
                if folder != half:
                    shutil.rmtree(half, ignore_errors=True)
                    os.rename(folder, half)
                shutil.rmtree(half)
        except Timeout:
            return False
        return True

    def complete(self) -> list[Artifact]:
        """All complete artifacts without the damaged ones, oldest first."""
        damaged, folders = (
            self.damaged(),
            [p.parent for p in self.root.glob(f"*/{MANIFEST}") if _NAME.fullmatch(p.parent.name)],
        )
        made = [opened(folder) for folder in folders if folder not in damaged]
        return sorted(made, key=lambda a: str(a.manifest["created"]))

    def damaged(self) -> dict[Path, str]:
        """Folders whose manifest is missing or changed, and what is wrong."""
        wrong = {}
        for folder in sorted(
            p for p in self.root.glob("*") if p.is_dir() and _NAME.fullmatch(p.name)
        ):
            try:
                opened(folder)
            except StorageError as error:
                wrong[folder] = str(error)
        return wrong

    def partial(self) -> list[Path]:
        """Folders of stages that are being made, or were left by a killed run."""
        return sorted(self.root.glob(f"*{_PARTIAL}"))

    def _partial(self, stage: str, recipe_id: str) -> Path:
        folder = self.folder(stage, recipe_id)
        return folder.with_suffix(_PARTIAL)

    @contextmanager
    def making(
        self,
        stage: str,
        recipe_id: str,
        waiting: Callable[[str], None] | None = None,
        lock_it: bool = True,
        owner: str = "",
    ) -> Iterator[Path]:
        """The partial folder of a recipe, held by this job alone. ``waiting(owner)`` is called once
        if another job is making the same artifact, with what that one said of itself; it is then
        complete (or abandoned) when the lock is given. Of a job with several processes only one
        locks."""
        if not lock_it:
            yield self._partial(stage, recipe_id)
            return
        make_folder(self.root)
        lock = FileLock(str(self.folder(stage, recipe_id)) + ".lock")
        self._acquire(lock, stage, recipe_id, waiting)
        try:
            self._tidy(stage, recipe_id)
            if owner and not self.folder(stage, recipe_id).is_dir():
                with suppress(OSError):  # only a note: what the disk refuses is told at work
                    make_folder(self._partial(stage, recipe_id) / STATE)
                    (self._partial(stage, recipe_id) / STATE / OWNER).write_text(owner)
            yield self._partial(stage, recipe_id)
        finally:
            lock.release()

    def _acquire(
        self, lock: FileLock, stage: str, recipe_id: str, waiting: Callable[[str], None] | None
    ) -> None:
        """Take the lock, and say once for whom this waits. A job that has only just begun, or is
        about to end, says nothing of itself for a moment."""
        for timeout in (0, *[NAMELESS_SECONDS / 10] * 10):
            try:
                lock.acquire(timeout=timeout)
                return
            except Timeout:
                if owner := self._owner(stage, recipe_id):
                    break
        if waiting is not None:
            waiting(owner)
        lock.acquire()

    def _owner(self, stage: str, recipe_id: str) -> str:
        """What the job that is making an artifact said of itself, if it did."""
        with suppress(OSError):
            return (self._partial(stage, recipe_id) / STATE / OWNER).read_text()
        return ""

    def sweep(self, artifact: Artifact) -> None:
        """Remove what a kill right after its completion has left of a complete artifact's making;
        needs no lock."""
        folder = artifact.folder
        for leftover in (folder / STATE, folder.with_suffix(_REPLACED)):
            if leftover.exists():
                shutil.rmtree(leftover, ignore_errors=True)

    def _tidy(self, stage: str, recipe_id: str) -> None:
        """Undo what a kill has left half done."""
        folder, partial = self.folder(stage, recipe_id), self._partial(stage, recipe_id)
        aside = folder.with_suffix(_REPLACED)
        if aside.exists() and not folder.exists():
            os.rename(aside, folder)
            fsync(self.root)
        if partial.exists() and not self.progress(stage, recipe_id):
            # A batch that was kept to be looked at survives.
            kept = (partial / STATE, partial / STATE / FAILED)
            for path in (*partial.glob("*"), *(partial / STATE).glob("*")):
                if path not in kept:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        for leftover in partial.rglob(".*.tmp"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()

    def commit(self, stage: str, recipe_id: str, facts: Mapping[str, Any]) -> Artifact:
        """Turn the partial folder into the artifact: digests of all files, everything durable,
        one rename."""
        partial, final = self._partial(stage, recipe_id), self.folder(stage, recipe_id)
        made = [
            p
            for p in files_below(partial)
            if p.relative_to(partial).parts[0] not in (STATE, LAST, MANIFEST)
        ]
        files = {str(path.relative_to(partial)): file_digest(path) for path in made}
        sync_below(partial, without=STATE)
        manifest = {**facts, "stage": stage, "recipe_id": recipe_id, "files": files}
        write_sealed(partial / MANIFEST, manifest)
        publish(partial, final, final.with_suffix(_REPLACED))
        shutil.rmtree(final / STATE, ignore_errors=True)  # only now is nothing left to resume
        return Artifact(final, manifest)
