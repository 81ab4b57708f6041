"""A disk that is full, broken, read-only or over quota at any write: exit code 4, one line, and
what was there is intact."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from preflab import StorageError
from preflab.engine.loop import CheckpointConfig, Loop
from preflab.jobs import endings
from preflab.randomness import Streams
from preflab.storage import checkpoints
from preflab.storage.artifacts import STATE, Store
from preflab.storage.durable import disk_error, writing
from reliability.figures import figure
from reliability.injection import boundaries, forked, refusing
from reliability.walk import RECIPE, STAGE, Walk, contents, make

REFUSALS = {
    "full": errno.ENOSPC,
    "broken": errno.EIO,
    "read-only": errno.EROFS,
    "over quota": errno.EDQUOT,
}
LINE = re.compile(
    r"The disk refused while writing .*: .+: /.+ "
    r"\(([1-9][\d,]* bytes needed, )?[\d,]+ (bytes )?free\)\. What was complete"
)


def _newest(root: Path) -> int:
    """Step of the newest checkpoint that is whole, 0 without one."""
    for folder in sorted(
        (root / f"{STAGE}-{RECIPE[:16]}.partial" / STATE).glob("step-*"), reverse=True
    ):
        try:
            return checkpoints.load(folder)[0]
        except StorageError:
            continue
    return 0


def _refused(root: Path, number: int, error: int, said: Path) -> None:
    """A stage whose disk refuses from a boundary on; its messages are written to ``said``."""
    try:
        with refusing(root, number, error), writing("the run", root):
            make(root)
    except BaseException as problem:
        endings.show(problem, said)
        os._exit(endings.exit_code(problem))


def _at(root: Path, number: int, steps: int, error: int, whole: dict[str, str]) -> None:
    """A refusal at one boundary, when ``steps`` checkpoints were complete; then without it."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    said = root.parent / "said.txt"
    assert forked(lambda: _refused(root, number, error, said)) == 4, (number, said.read_text())
    text = said.read_text()
    assert text.count("\n") == 1, text
    assert LINE.match(text.removeprefix("preflab: ")), text
    artifact = Store(root).folder(STAGE, RECIPE)
    if artifact.exists():
        assert (artifact / STATE).exists()  # it was complete; what could not be done is tidying up
    else:
        assert _newest(root) in (steps, max(0, steps - 1)), number
    assert forked(lambda: make(root)) == 0
    assert contents(root) == whole, number


def _through(tmp_path: Path, error: int, every: int) -> None:
    root = tmp_path / "artifacts"
    root.mkdir()
    calls = boundaries(root, lambda: make(root), tmp_path / "calls.json")
    whole, steps, tried = contents(root), 0, 0
    for call in calls:
        harmless = call.kind in ("unlink", "rmdir") and error in (errno.ENOSPC, errno.EDQUOT)
        last = calls[call.number :]
        # Otherwise nothing is refused any more.
        left = any(c.kind not in ("unlink", "rmdir") for c in last)
        if call.number % every == 0 and not harmless and left:
            _at(root, call.number, steps, error, whole)
            tried += 1
        steps = (
            int(call.target[-9:]) if call.kind == "rename" and "/step-" in call.target else steps
        )
    figure(f"{os.strerror(error)}: {tried} of {len(calls)} boundaries")


@pytest.mark.parametrize("refusal", REFUSALS)
def test_the_disk_refuses_some_writes(tmp_path: Path, refusal: str) -> None:
    _through(tmp_path, REFUSALS[refusal], 29)


@pytest.mark.reliability
@pytest.mark.parametrize("refusal", REFUSALS)
def test_the_disk_refuses_any_write(tmp_path: Path, refusal: str) -> None:
    _through(tmp_path, REFUSALS[refusal], 1)


def test_a_checkpoint_that_has_no_room_leaves_the_two_before_it(tmp_path: Path) -> None:
    """Nothing is deleted before its replacement is durable: at any refused call both stay."""
    for step in (1, 2):
        checkpoints.save(tmp_path / "state", step, {"x": torch.ones(50)})
    before = contents(tmp_path / "state")
    number = 0
    while True:
        try:
            with refusing(tmp_path / "state", number, errno.ENOSPC):
                checkpoints.save(tmp_path / "state", 3, {"x": torch.ones(50)})
        except OSError:
            if (tmp_path / "state" / "step-000000003").exists():  # only tidying up was refused
                assert checkpoints.load(tmp_path / "state" / "step-000000003")[0] == 3
            else:
                assert contents(tmp_path / "state") == before, number
            number += 1
            continue
        except StorageError:
            raise AssertionError(number) from None
        break
    assert number > 10
    assert [p.name for p in checkpoints.candidates(tmp_path / "state")] == [
        "step-000000003",
        "step-000000002",
    ]


def test_a_small_disk_is_reported_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two checkpoints are kept and one is written: 3 * 1216 bytes of weights, and as much again
    # twice for AdamW's moments.
    for free, fits in ((3 * 3 * 1216 - 1, False), (3 * 3 * 1216, True)):
        folder = tmp_path / str(free)
        folder.mkdir()
        monkeypatch.setattr("preflab.engine.loop.free", lambda path, free=free: free)
        walk = Walk(Streams(1), folder)
        loop = Loop(STAGE, walk, Streams(1), folder, CheckpointConfig(), lambda hook, **a: None)
        if fits:
            loop.run()
        else:
            with pytest.raises(
                StorageError,
                match=r"will need about 10,944 bytes in .*, 10,943 are free. Nothing was computed",
            ):
                loop.run()
            assert not list(folder.iterdir())


def _mountable(folder: Path) -> list[str]:
    """A command prefix under which tmpfs can be mounted, [] if there is none. Without root it makes
    a user namespace."""
    for prefix in [["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]]:
        tried = [*prefix, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
        if (
            shutil.which("unshare")
            and subprocess.run(tried, capture_output=True, check=False).returncode == 0
        ):
            return prefix
    return []


def _on_a_small_disk(folder: Path, kilobytes: int) -> None:
    """A stage on a real disk of some kilobytes, mounted for this process alone."""
    _unshare()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], check=True
    )
    code = 0
    said = folder.parent / "said.txt"
    try:
        with writing("the run", folder):
            make(folder / "artifacts")
    except BaseException as problem:
        endings.show(problem, said)
        code = endings.exit_code(problem)
        # what is on it can be loaded still
        kept = contents(folder / "artifacts") if (folder / "artifacts").exists() else {}
        if any("/step-" in name for name in kept) and not _newest(folder / "artifacts"):
            code = 99
    os._exit(code)


def _unshare() -> None:
    """Enter a mount namespace of this process alone; without root, a user namespace in which it is
    root."""
    import ctypes

    # CLONE_NEWNS, _NEWUSER; MS_REC | MS_PRIVATE.
    new_mounts, new_users, private = (
        0x20000,
        0x10000000,
        (1 << 14) | (1 << 18),
    )
    library, user, group = ctypes.CDLL(None, use_errno=True), os.geteuid(), os.getegid()
    if library.unshare(new_mounts if user == 0 else new_mounts | new_users):
        os._exit(98)
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    if library.mount(None, b"/", None, private, None):
        os._exit(98)


def test_a_real_disk_that_is_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if not _mountable(disk):
        pytest.skip("no small disk can be mounted here")
    codes = []
    for kilobytes in (4, 8, 12, 16, 24, 32, 40, 48, 56, 64, 80, 120, 300):
        said = tmp_path / "said.txt"
        said.unlink(missing_ok=True)
        codes.append(forked(lambda size=kilobytes: _on_a_small_disk(disk, size)))  # type: ignore[misc]
        if codes[-1]:
            text = said.read_text()
            assert text.count("\n") == 1, text
            assert "bytes" in text
            assert " free" in text
    assert codes[0] == 4
    assert codes[-1] == 0
    assert set(codes) == {0, 4}, codes
    figure(f"exit codes by size: {codes}")


def _save_what_does_not_fit(folder: Path) -> None:
    from safetensors.torch import save_file

    _unshare()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(folder)], check=True)
    try:
        save_file({"x": torch.ones(100_000)}, folder / "x.safetensors")
    except Exception as error:
        found = disk_error(error)
        os._exit(found.errno or 1 if found else 2)


def test_errors_of_safetensors_are_understood(tmp_path: Path) -> None:
    """transformers writes models with it; its error is not an OSError. Only on a disk of our own:
    it renames over its target."""
    if not _mountable(tmp_path):
        pytest.skip("no small disk can be mounted here")
    assert forked(lambda: _save_what_does_not_fit(tmp_path)) == errno.ENOSPC


@pytest.mark.parametrize(
    "needed,said",
    [(None, r"\([\d,]+ bytes free\)"), (1234, r"\(1,234 bytes needed, [\d,]+ free\)")],
)
def test_bytes_are_reported_where_they_are_known(
    tmp_path: Path, needed: int | None, said: str
) -> None:
    with pytest.raises(StorageError, match=said), writing("x", tmp_path, needed):
        raise OSError(errno.ENOSPC, "full", str(tmp_path))


def test_other_errors_are_not_refusals_of_the_disk() -> None:
    assert disk_error(ValueError("(os error 28)")) is None
    assert disk_error(FileNotFoundError(2, "no such file")) is None
