"""Immutable results of stages: ``artifacts/<stage>-<id>/``, made in ``....partial/`` under a lock, complete or absent."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from preflab.errors import StorageError

MANIFEST = "artifact.json"
STATE = ".state"
METRICS = "metrics.jsonl"


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Make a file's content, or a folder's entries, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is the old one or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf8") as stream:
        json.dump(value, stream, indent=1, sort_keys=True)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    fsync(path.parent)


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder in a fixed order."""
    yield from sorted(p for p in folder.rglob("*") if p.is_file())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file; [] if there is none. A last line that a kill cut in half is left out."""
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

    def history(self) -> list[dict[str, Any]]:
        """Metric rows of the steps it was made with."""
        return read_rows(self.folder / METRICS)

    def verify(self) -> None:
        """Raise `StorageError` naming the first file that is missing or changed since the artifact was made."""
        for name, digest in self.manifest["files"].items():
            path = self.folder / name
            if not path.is_file() or file_digest(path) != digest:
                what = "was changed" if path.is_file() else "is missing"
                raise StorageError(
                    f"{path} {what} since the artifact was made. Nothing was computed from it. Remove the folder "
                    f"{self.folder} to make the stage again, or restore the file."
                )


class Store:
    """The folder of artifacts, shared by all runs and jobs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, stage: str, recipe_id: str) -> Path:
        """Where the artifact of a recipe is or will be."""
        return self.root / f"{stage}-{recipe_id[:16]}"

    def find(self, stage: str, recipe_id: str) -> Artifact | None:
        """The complete artifact of a recipe, unverified; None if it has not been made."""
        manifest = self.folder(stage, recipe_id) / MANIFEST
        if not manifest.is_file():
            return None
        return Artifact(manifest.parent, json.loads(manifest.read_text(encoding="utf8")))

    def progress(self, stage: str, recipe_id: str) -> bool:
        """Whether a killed run has left checkpoints for this recipe."""
        return (self._partial(stage, recipe_id) / STATE).is_dir()

    def remove(self, folder: Path) -> bool:
        """Remove an artifact or a half-made one; False, and nothing is done, while a job is making it."""
        lock = FileLock(str(folder).removesuffix(".partial") + ".lock")
        try:
            with lock.acquire(timeout=0):
                shutil.rmtree(folder)
        except Timeout:
            return False
        return True

    def complete(self) -> list[Artifact]:
        """All complete artifacts, oldest first."""
        found = [Artifact(p.parent, json.loads(p.read_text(encoding="utf8"))) for p in self.root.glob(f"*/{MANIFEST}")]
        return sorted(found, key=lambda a: str(a.manifest["created"]))

    def partial(self) -> list[Path]:
        """Folders of stages that are being made, or were left by a killed run."""
        return sorted(self.root.glob("*.partial"))

    def _partial(self, stage: str, recipe_id: str) -> Path:
        folder = self.folder(stage, recipe_id)
        return folder.with_name(folder.name + ".partial")

    @contextmanager
    def making(self, stage: str, recipe_id: str, waiting: Any = None, lock_it: bool = True) -> Iterator[Path]:
        """The partial folder of a recipe, held by this job alone. ``waiting()`` is called once if another job is
        making the same artifact; it is then complete (or abandoned) when the lock is given. Of a job with several
        processes only one locks."""
        if not lock_it:
            yield self._partial(stage, recipe_id)
            return
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(self.folder(stage, recipe_id)) + ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if waiting is not None:
                waiting()
            lock.acquire()
        try:
            yield self._partial(stage, recipe_id)
        finally:
            lock.release()

    def commit(self, stage: str, recipe_id: str, facts: Mapping[str, Any]) -> Artifact:
        """Turn the partial folder into the artifact: digests of all files, everything durable, one rename."""
        partial, final = self._partial(stage, recipe_id), self.folder(stage, recipe_id)
        shutil.rmtree(partial / STATE, ignore_errors=True)
        files = {}
        for path in files_below(partial):
            if path.name == MANIFEST:
                continue
            files[str(path.relative_to(partial))] = file_digest(path)
            fsync(path)
        manifest = {**facts, "stage": stage, "recipe_id": recipe_id, "files": files}
        write_json(partial / MANIFEST, manifest)
        if final.exists():
            shutil.rmtree(final)
        os.rename(partial, final)
        fsync(self.root)
        return Artifact(final, manifest)
