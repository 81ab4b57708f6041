"""Every file of a checkpoint and of an artifact, damaged, cut or deleted: refused by name, never
loaded."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preflab import StorageError
from preflab.storage import checkpoints
from preflab.storage.artifacts import MANIFEST, STATE, Store, files_below
from reliability.figures import figure
from reliability.injection import forked
from reliability.walk import RECIPE, STAGE, contents, make

PARTIAL = f"{STAGE}-{RECIPE[:16]}.partial"


def _damages(path: Path, flips: int, draw: random.Random) -> Iterator[tuple[str, bytes | None]]:
    """(what was done, new content; None: deleted) for the first, the last and some drawn bytes,
    and for some lengths."""
    data = path.read_bytes()
    size = len(data)
    for place in sorted({0, size - 1, *(draw.randrange(size) for _ in range(flips))}):
        changed = bytearray(data)
        changed[place] ^= 1 << draw.randrange(8)
        yield f"byte {place} of {path.name} flipped", bytes(changed)
    for length in sorted({0, size - 1, size // 2}):
        yield f"{path.name} cut to {length}", data[:length]
    yield f"{path.name} longer", data + b" "
    yield f"{path.name} deleted", None


def _put(path: Path, content: bytes | None) -> None:
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stage that was killed after its checkpoint of step 5, next to that of step 4."""
    root = tmp_path_factory.mktemp("killed") / "artifacts"

    def stop() -> None:
        real = checkpoints.save

        def save(*arguments: Any) -> Path:
            saved = real(*arguments)
            if arguments[1] == 5:
                os._exit(9)
            return saved

        checkpoints.save = save  # type: ignore[assignment]
        make(root)

    assert forked(stop) == 9
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole") / "artifacts"
    assert forked(lambda: make(root)) == 0
    return root


def test_every_damage_to_a_checkpoint_is_refused_by_name(killed: Path) -> None:
    folder, draw, tried = killed / PARTIAL / STATE / "step-000000005", random.Random(1), 0
    for path in files_below(folder):
        before = path.read_bytes()
        for what, content in _damages(path, 40, draw):
            _put(path, content)
            try:
                with pytest.raises(StorageError, match=path.name):
                    checkpoints.load(folder)
            except BaseException as error:
                raise AssertionError(what) from error
            finally:
                _put(path, before)
            tried += 1
    assert checkpoints.load(folder)[0] == 5
    figure(f"{tried} damages to a checkpoint")
    assert tried >= 100


def _log(tmp_path: Path, killed: Path, name: str, content: bytes | None) -> tuple[Path, str]:
    """Resume a copy of the killed stage with one file damaged; the store and the messages."""
    root, said = tmp_path / "artifacts", tmp_path / "said.txt"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(killed, root)
    _put(root / PARTIAL / name, content)

    def run() -> None:
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 2)
        make(root)

    assert forked(run) == 0, (name, said.read_text())
    return root, said.read_text()


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("kind", ["flipped", "cut", "deleted"])
def test_the_checkpoint_before_takes_over_and_says_so(
    tmp_path: Path, killed: Path, whole: Path, name: str, kind: str
) -> None:
    path = f"{STATE}/step-000000005/{name}"
    damages = dict(_damages(killed / PARTIAL / path, 1, random.Random(2)))
    content = next(content for what, content in damages.items() if kind in what)
    root, said = _log(tmp_path, killed, path, content)
    assert f"step-000000005/{name}" in said
    assert "resuming from step-000000004" in said
    assert "Traceback" not in said
    assert contents(root) == contents(whole)


@pytest.mark.parametrize("damage", ["flipped", "cut", "deleted"])
@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "epochs/3/position.txt", "epochs/1/position.txt"]
)
def test_files_next_to_checkpoints_are_part_of_them(
    tmp_path: Path, killed: Path, whole: Path, name: str, damage: str
) -> None:
    """Both checkpoints refer to the damaged files (of steps 1 and 3): the stage starts over."""
    damages = dict(_damages(killed / PARTIAL / name, 0, random.Random(3)))
    content = next(content for what, content in damages.items() if damage in what)
    root, said = _log(tmp_path, killed, name, content)
    assert f"{name} {'is missing' if damage == 'deleted' else 'was changed'}" in said
    size = checkpoints.facts(killed / PARTIAL / STATE / "step-000000004")["files"][name][0]
    assert content is None or content[:size] != (killed / PARTIAL / name).read_bytes()[:size]
    assert "no checkpoint is whole: sft starts over" in said
    assert contents(root) == contents(whole)


def test_a_log_damaged_in_its_last_row_serves_an_older_checkpoint(
    tmp_path: Path, killed: Path, whole: Path
) -> None:
    size = checkpoints.facts(killed / PARTIAL / STATE / "step-000000005")["files"]["metrics.jsonl"][
        0
    ]
    content = (killed / PARTIAL / "metrics.jsonl").read_bytes()[: size - 2]
    root, said = _log(tmp_path, killed, "metrics.jsonl", content)
    assert "metrics.jsonl was changed; resuming from step-000000004" in said
    assert contents(root) == contents(whole)


def test_every_damage_to_an_artifact_is_refused_by_name(tmp_path: Path, whole: Path) -> None:
    root = tmp_path / "artifacts"
    shutil.copytree(whole, root)
    store, draw, tried = Store(root), random.Random(4), 0
    folder = store.folder(STAGE, RECIPE)

    def look() -> None:
        found = store.find(STAGE, RECIPE)
        assert found is not None
        found.verify()

    look()
    for path in files_below(folder):
        before = path.read_bytes()
        for what, content in _damages(path, 12, draw):
            _put(path, content)
            try:
                with pytest.raises(StorageError, match=path.name):
                    look()
                if path.name == MANIFEST:
                    assert path.parent in store.damaged() or content is None
                    assert store.complete() == []
            except BaseException as error:
                raise AssertionError(what) from error
            finally:
                _put(path, before)
            tried += 1
    look()
    figure(f"{tried} damages to an artifact")
    assert tried >= 100
