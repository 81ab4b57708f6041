"""Processes that see other artifacts than process 0: refused on all of them, by name."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from preflab import StorageError
from preflab.engine import alike
from preflab.storage.artifacts import STATE, Artifact, Store


class SecondOfTwo:
    """The runtime of process 1. decided: what process 0 tells, in turn; said: the problem that
    process 0 has."""

    rank, world = 1, 2

    def __init__(self, decided: Sequence[Any], said: str = "") -> None:
        self.decided, self.said = list(decided), said

    def agreed(self, value: Any) -> Any:
        return self.decided.pop(0)

    def gather(self, items: Sequence[Any]) -> list[Any]:
        return [(self.said, "host"), *items]


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "PATIENCE", 0.0)


def artifact(root: Path, content: str = "x") -> Artifact:
    store = Store(root)
    with store.making("sft", "0" * 64) as partial:
        (partial / "model").mkdir(parents=True)
        (partial / "model" / "weights").write_text(content)
        return store.commit("sft", "0" * 64, {})


def seen(runtime: SecondOfTwo, theirs: Artifact, folder: Path, verify: bool = True) -> Artifact:
    return alike.require_artifact(runtime, theirs, folder, verify)  # type: ignore[arg-type]


def test_the_same_content_in_another_folder_is_the_same_artifact(tmp_path: Path) -> None:
    theirs, own = artifact(tmp_path / "a"), artifact(tmp_path / "b")
    assert seen(SecondOfTwo(["/a on host"]), theirs, own.folder).folder == own.folder


def test_an_artifact_that_one_process_does_not_see_is_named(tmp_path: Path) -> None:
    theirs = artifact(tmp_path / "a")
    own = tmp_path / "b" / theirs.folder.name
    with pytest.raises(
        StorageError,
        match=rf"Process 1 does not see the artifact {own.name} that process 0 has in /a on host: "
        rf"{own} on \S+ is not there\. .*set artifacts\.dir",
    ):
        seen(SecondOfTwo(["/a on host"]), theirs, own)


def test_another_result_under_the_same_name_is_refused(tmp_path: Path) -> None:
    theirs, own = artifact(tmp_path / "a"), artifact(tmp_path / "b", "y")
    with pytest.raises(StorageError, match=r"holds another result"):
        seen(SecondOfTwo(["/a on host"]), theirs, own.folder)


def test_the_first_process_of_each_host_reads_the_files(tmp_path: Path) -> None:
    theirs = artifact(tmp_path / "a")
    own = tmp_path / "b" / theirs.folder.name
    shutil.copytree(theirs.folder, own)
    (own / "model" / "weights").write_text("z")
    seen(SecondOfTwo(["/a on host"]), theirs, own, verify=False)
    with pytest.raises(StorageError, match=r"weights was changed since"):
        seen(SecondOfTwo(["/a on host"]), theirs, own)


def test_what_one_process_misses_ends_all(tmp_path: Path) -> None:
    theirs = artifact(tmp_path / "a")
    with pytest.raises(StorageError, match=r"^Process 7 misses it$"):
        seen(SecondOfTwo(["/a on host"], "Process 7 misses it"), theirs, theirs.folder)


def test_the_folder_of_a_stage_is_one_folder(tmp_path: Path) -> None:
    partial = tmp_path / "sft-0.partial"
    with pytest.raises(StorageError, match=r"the artifact sft-0 that .* is another folder"):
        alike.require_folder(SecondOfTwo(["/a on host", "1f"]), partial)  # type: ignore[arg-type]
    (partial / STATE).mkdir(parents=True)
    (partial / STATE / "seen-1f").touch()
    alike.require_folder(SecondOfTwo(["/a on host", "1f"]), partial)  # type: ignore[arg-type]
