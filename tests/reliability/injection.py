"""A disk that fails on demand: every call that changes files under a folder is counted, and the
k-th one kills the process, is refused, or is the last before a power cut. Work runs in forked
children; the parent has imported torch."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch

REMOVING = frozenset({"unlink", "rmdir"})


@dataclass(frozen=True)
class Call:
    """One boundary: what is about to be done to a path. A write is two: before and halfway."""

    number: int
    kind: str
    path: str
    target: str = ""


@dataclass
class Disk:
    """Watches writes under a folder. before: called at each boundary; it may raise or exit."""

    root: Path
    before: Callable[[Call], None]
    done: Callable[[Call], None] = lambda call: None
    """Called after the operation."""
    calls: list[Call] = field(default_factory=list)

    def _is_below(self, path: Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and Path(os.path.abspath(path)).is_relative_to(
            self.root
        )

    def boundary(self, kind: str, path: Any, target: Any = "") -> Call:
        """Count a call and let it fail."""
        call = Call(
            len(self.calls), kind, os.path.abspath(path), os.path.abspath(target) if target else ""
        )
        self.calls.append(call)
        self.before(call)
        return call

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Within it every call is counted."""
        changed: list[tuple[Any, str, Any]] = []

        def put(module: Any, name: str, new: Any) -> None:
            changed.append((module, name, getattr(module, name)))
            setattr(module, name, new)

        for name in ("mkdir", "rmdir", "unlink", "remove", "truncate"):
            put(os, name, self._of_path("unlink" if name == "remove" else name, getattr(os, name)))
        for name in ("rename", "replace"):
            put(os, name, self._of_two("rename", getattr(os, name)))
        put(os, "fsync", self._fsync(os.fsync))
        put(os, "open", self._os_open(os.open))
        put(os, "write", self._os_write(os.write))
        opened = self._open(io.open)
        put(io, "open", opened)
        put(__import__("builtins"), "open", opened)
        # The library's own writer is not Python. transformers holds `save_file` since its import,
        # which looks this up when called.
        library: Any = safetensors.torch
        put(library, "serialize_file", self._serialize_file(library.serialize_file))
        try:
            yield
        finally:
            for module, name, old in reversed(changed):
                setattr(module, name, old)

    def _of_path(self, kind: str, real: Any) -> Any:
        def call(path: Any, *more: Any, dir_fd: int | None = None, **named: Any) -> Any:
            where = (
                path
                if dir_fd is None
                else os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), path)
            )
            if not self._is_below(where):
                return real(path, *more, **named, **({} if dir_fd is None else {"dir_fd": dir_fd}))
            entry = self.boundary(kind, where)
            found = real(path, *more, **named, **({} if dir_fd is None else {"dir_fd": dir_fd}))
            self.done(entry)
            return found

        return call

    def _of_two(self, kind: str, real: Any) -> Any:
        def call(source: Any, target: Any, **named: Any) -> None:
            entry = self.boundary(kind, source, target) if self._is_below(target) else None
            real(source, target, **named)
            if entry:
                self.done(entry)

        return call

    def _fsync(self, real: Any) -> Any:
        def call(handle: int) -> None:
            path = os.readlink(f"/proc/self/fd/{handle}")
            if self._is_below(path):
                # A real one adds nothing: this machine loses no power.
                self.done(self.boundary("fsync", path))
            else:
                real(handle)

        return call

    def _os_open(self, real: Any) -> Any:
        def call(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            creates = (
                bool(flags & os.O_CREAT)
                and dir_fd is None
                and self._is_below(path)
                and not os.path.exists(path)
            )
            entry = self.boundary("create", path) if creates else None
            handle: int = real(path, flags, mode, dir_fd=dir_fd)
            if entry:
                self.done(entry)
            return handle

        return call

    def _os_write(self, real: Any) -> Any:
        def call(handle: int, data: Any) -> int:
            path = os.readlink(f"/proc/self/fd/{handle}")
            return (
                int(self._halves(path, data, lambda d: real(handle, d)))
                if self._is_below(path)
                else int(real(handle, data))
            )

        return call

    def _halves(self, path: str, data: Any, write: Callable[[Any], Any]) -> int:
        view = memoryview(data).cast("B")
        for part in (view[: len(view) // 2], view[len(view) // 2 :]):
            entry = self.boundary("write", path)
            write(part)
            self.done(entry)
        return len(view)

    def _open(self, real: Any) -> Any:
        disk = self

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                return disk._halves(str(self.name), data, super().write)

        def call(file: Any, mode: str = "r", buffering: int = -1, *more: Any, **named: Any) -> Any:
            if not disk._is_below(file) or not set(mode) & set("wax+"):
                return real(file, mode, buffering, *more, **named)
            exists = os.path.exists(file)
            entry = disk.boundary("truncate" if exists and "w" in mode else "create", file)
            raw = Raw(os.fspath(file), mode.replace("b", "").replace("t", ""))
            disk.done(entry)
            if buffering == 0:
                return raw
            buffered = io.BufferedWriter(raw)
            if "b" in mode:
                return buffered
            text = dict(zip(("encoding", "errors", "newline"), more, strict=False)) | named
            return io.TextIOWrapper(
                buffered,
                text.get("encoding"),
                text.get("errors"),
                text.get("newline"),
                buffering == 1,
            )

        return call

    def _serialize_file(self, real: Any) -> Any:
        def call(tensors: Any, filename: Any, metadata: Any = None) -> None:
            if not self._is_below(filename):
                real(tensors, filename, metadata=metadata)
                return
            with tempfile.TemporaryDirectory() as elsewhere:
                real(tensors, os.path.join(elsewhere, "bytes"), metadata=metadata)
                data = Path(elsewhere, "bytes").read_bytes()
            with open(filename, "wb") as stream:
                stream.write(data)

        return call


@dataclass
class PowerCut:
    """What a power cut may take: contents of files, and names in folders, newer than their last
    sync.

    Synced data stays, and so do removals (the worst case)."""

    dirty: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, list[tuple[str, str, bytes | None]]] = field(default_factory=dict)
    """Folder -> [(path, where it came from or "", what a file of that name held)], in the order
    of giving."""

    def before(self, call: Call) -> None:
        """Record what a call may lose, before the call."""
        path = Path(call.path)
        if call.kind in ("write", "truncate", "create"):
            self.dirty.setdefault(call.path, path.read_bytes() if path.is_file() else b"")
        if call.kind in ("create", "mkdir") and path.parent.is_dir() and not path.exists():
            self.names.setdefault(str(path.parent), []).append((call.path, "", None))
        if call.kind == "rename":
            target = Path(call.target)
            held = target.read_bytes() if target.is_file() else None
            self.names.setdefault(str(target.parent), []).append((call.target, call.path, held))

    def done(self, call: Call) -> None:
        """Record what is safe now, and what was renamed."""
        if call.kind == "fsync":
            self.dirty.pop(call.path, None)
            self.names.pop(call.path, None)
        if call.kind == "rename":

            def moved(p: str) -> str:
                return (
                    call.target + p[len(call.path) :] if f"{p}/".startswith(f"{call.path}/") else p
                )

            self.dirty = {moved(p): content for p, content in self.dirty.items()}
            inside = {f: n for f, n in self.names.items() if moved(f) != f}
            for folder, entries in inside.items():
                del self.names[folder]
                self.names[moved(folder)] = [
                    (moved(p), source, held) for p, source, held in entries
                ]

    def strike(self, contents: bool, names: bool) -> None:
        """Cut the power."""
        for path, content in self.dirty.items() if contents else ():
            if Path(path).is_file():
                Path(path).write_bytes(content)
        for entries in self.names.values() if names else ():
            for path, source, held in reversed(entries):
                _take_back(Path(path), source, held)


def _take_back(path: Path, source: str, held: bytes | None) -> None:
    if not path.exists():
        return
    if source and Path(source).parent.is_dir() and not Path(source).exists():
        os.rename(path, source)
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    if held is not None:
        path.write_bytes(held)


def forked(work: Callable[[], None]) -> int:
    """The exit code of work in a child (minus the signal that killed it)."""
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(120)
    assert child.exitcode is not None, "it hangs"
    return child.exitcode


def boundaries(root: Path, work: Callable[[], None], notes: Path) -> list[Call]:
    """Every call that work makes under a folder, done in a child; the folder keeps its result."""

    def watched() -> None:
        disk = Disk(root, lambda call: None)
        with disk.watching():
            work()
        notes.write_text(json.dumps([[c.number, c.kind, c.path, c.target] for c in disk.calls]))

    assert forked(watched) == 0
    return [Call(*entry) for entry in json.loads(notes.read_text())]


def killed_at(root: Path, work: Callable[[], None], number: int) -> None:
    """Work in a child that SIGKILL hits at a boundary."""

    def kill(call: Call) -> None:
        if call.number == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched() -> None:
        with Disk(root, kill).watching():
            work()

    assert forked(watched) == -signal.SIGKILL, number


def power_cut_at(
    root: Path, work: Callable[[], None], number: int, contents: bool, names: bool
) -> None:
    """Work in a child; at a boundary the power is cut."""
    power = PowerCut()

    def before(call: Call) -> None:
        if call.number == number:
            os._exit(77)
        power.before(call)

    def watched() -> None:
        disk = Disk(root, before, power.done)
        real = os._exit

        def struck(code: int) -> None:
            undo.close()
            power.strike(contents, names)
            real(code)

        undo = contextlib.ExitStack()
        undo.enter_context(disk.watching())
        os._exit = struck  # type: ignore[assignment]
        work()

    assert forked(watched) == 77, number


@contextlib.contextmanager
def refusing(root: Path, number: int, error: int, for_ever: bool = True) -> Iterator[Disk]:
    """Within it the disk refuses every call from a boundary on. A full disk and a quota still allow
    removals, a read-only disk allows nothing."""
    import errno

    def refuse(call: Call) -> None:
        hit = call.number >= number if for_ever else call.number == number
        if hit and not (call.kind in REMOVING and error in (errno.ENOSPC, errno.EDQUOT)):
            raise OSError(error, os.strerror(error), call.path)

    disk = Disk(root, refuse)
    with disk.watching():
        yield disk
